//! From whatever error a handler returns to the [`Fault`] its caller gets.
//!
//! `#[service]` writes `(&error).failure_kind().fault(error)`. Method look-up takes the first kind
//! that fits: a `Fault` stays whole, an [`anyhow::Error`] is searched for one, and anything else
//! becomes its text. (Specialisation by auto-reference, after David Tolnay's case study.)

use std::fmt::Display;

use crate::Fault;

/// What a handler may fail with: anything that displays.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a method's error: it does not implement `Display`",
    label = "this error has no text to send to the caller",
    note = "return `anyhow::Error`, `String`, `netrpc::Fault` or an error that implements `std::fmt::Display`"
)]
pub trait HandlerError {
    /// The text the caller gets.
    fn text(&self) -> String;
}

impl<E: Display + ?Sized> HandlerError for E {
    fn text(&self) -> String {
        self.to_string()
    }
}

/// A [`Fault`] crosses as it is.
#[derive(Debug)]
pub struct Whole;

impl Whole {
    /// The fault itself.
    pub fn fault(self, fault: Fault) -> Fault {
        fault
    }
}

/// An [`anyhow::Error`] is searched for a [`Fault`]; else its text is that of the whole chain, as
/// Go's wrapped errors print.
#[derive(Debug)]
pub struct Chain;

impl Chain {
    /// The fault inside, or the chain's text.
    pub fn fault(self, error: anyhow::Error) -> Fault {
        match error.downcast::<Fault>() {
            Ok(fault) => fault,
            Err(error) => Fault::new(format!("{error:#}")),
        }
    }
}

/// Anything else crosses as its text.
#[derive(Debug)]
pub struct Text;

impl Text {
    /// The error's text.
    #[allow(clippy::needless_pass_by_value)] // the three kinds are called alike
    pub fn fault<E: HandlerError>(self, error: E) -> Fault {
        Fault::new(error.text())
    }
}

/// Picks [`Whole`].
pub trait WholeKind {
    /// The kind of this error.
    fn failure_kind(&self) -> Whole {
        Whole
    }
}

impl WholeKind for Fault {}

/// Picks [`Chain`].
pub trait ChainKind {
    /// The kind of this error.
    fn failure_kind(&self) -> Chain {
        Chain
    }
}

impl ChainKind for anyhow::Error {}

/// Picks [`Text`], where nothing nearer fits.
pub trait TextKind {
    /// The kind of this error.
    fn failure_kind(&self) -> Text {
        Text
    }
}

impl<E> TextKind for &E {}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    /// What `#[service]` writes.
    macro_rules! fault {
        ($error:expr) => {{
            let error = $error;
            (&error).failure_kind().fault(error)
        }};
    }

    #[test]
    fn a_fault_crosses_whole_also_inside_anyhow() {
        let fault = Fault::new("no").with_detail(&7);
        assert_eq!(fault!(fault.clone()), fault);
        assert_eq!(fault!(anyhow::Error::from(fault.clone())), fault);
        assert_eq!(fault!(anyhow::Error::from(fault.clone()).context("outer")), fault);
    }

    #[test]
    fn other_errors_become_their_text() {
        assert_eq!(fault!("divide by zero").message(), "divide by zero");
        assert_eq!(fault!(String::from("s")).message(), "s");
        assert_eq!(fault!(std::fmt::Error).message(), std::fmt::Error.to_string());
        let chain = Err::<(), _>(std::fmt::Error).context("writing the report").unwrap_err();
        let text = format!("writing the report: {}", std::fmt::Error);
        assert_eq!(fault!(chain).message(), text);
    }
}
