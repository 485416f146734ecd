//! Go's complex numbers.

use serde::{Deserialize, Serialize};

pub(crate) const NAME: &str = "$gob.Complex";

/// A `complex128`, or a `complex64`.
///
/// In gob it is a number; in other formats, and to a type that asks for a tuple, it is two.
///
/// ```
/// use netrpc_gob::{complex::Complex, from_slice, to_vec};
///
/// let i = Complex { re: 0.0, im: 1.0 };
/// let gob = to_vec(&i)?;
/// assert_eq!(gob, [6, 14, 0, 0, 0xFE, 0xF0, 0x3F]);
/// assert_eq!(from_slice::<Complex>(&gob)?, i);
/// assert_eq!(from_slice::<(f64, f64)>(&gob)?, (0.0, 1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Pair", into = "Pair")]
pub struct Complex {
    /// The real part.
    pub re: f64,
    /// The imaginary part.
    pub im: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "$gob.Complex")]
struct Pair((f64, f64));

impl From<Pair> for Complex {
    fn from(Pair((re, im)): Pair) -> Self {
        Complex { re, im }
    }
}

impl From<Complex> for Pair {
    fn from(Complex { re, im }: Complex) -> Self {
        Pair((re, im))
    }
}
