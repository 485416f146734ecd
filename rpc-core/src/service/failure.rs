//! From whatever error a handler returns to the [`Fault`] its caller gets.
//!
//! `#[service]` writes `(&error).failure_kind().fault(error)`. Method look-up takes the first kind
//! that fits: a `Fault` stays whole, an [`anyhow::Error`] is searched for one, the [`Error`] of a call that
//! the handler made becomes the text of its chain, and anything else its text. (Specialisation by auto-reference, after David Tolnay's case study.)

use std::fmt::Display;

use crate::{Error, Fault, error::chain};

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

/// The [`Error`] of a call that the handler made: what is behind it is what its caller cannot see.
#[derive(Debug)]
pub struct Onward;

impl Onward {
    /// The chain's text.
    #[allow(clippy::needless_pass_by_value)] // the kinds are called alike
    pub fn fault(self, error: Error) -> Fault {
        Fault::new(chain(&error).to_string())
    }
}

/// Anything else crosses as its text.
#[derive(Debug)]
pub struct Text;

impl Text {
    /// The error's text.
    #[allow(clippy::needless_pass_by_value)] // the kinds are called alike
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

/// Picks [`Onward`].
pub trait OnwardKind {
    /// The kind of this error.
    fn failure_kind(&self) -> Onward {
        Onward
    }
}

impl OnwardKind for Error {}

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
    fn the_error_of_a_call_crosses_with_its_causes() {
        let cause = crate::error::Disconnected::Eof.into();
        let error = Error::Shutdown { may_have_run: true, cause };
        let text = fault!(error).message().to_owned();
        assert_eq!(text, "connection is shut down: unexpected EOF: the peer closed the connection");
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
