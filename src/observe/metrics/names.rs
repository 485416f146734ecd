//! The names of the metrics, and what each counts.

use metrics::{Label, Unit, describe_counter, describe_gauge, describe_histogram};

/// The label that says which system of calls it is, where there are several in a program.
pub(super) const SYSTEM: Label = Label::from_static_parts("rpc.system.name", "netrpc");

/// Which side of a call or connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::observe) enum Side {
    Server,
    Client,
}

/// The names of one side's metrics.
pub(super) struct Names {
    pub(super) duration: &'static str,
    pub(super) started: &'static str,
    pub(super) finished: &'static str,
    pub(super) in_flight: &'static str,
    pub(super) received: &'static str,
    pub(super) sent: &'static str,
    pub(super) connections: &'static str,
    pub(super) opened: &'static str,
    pub(super) closed: &'static str,
}

/// The names of a side.
macro_rules! names {
    ($side:literal) => {
        Names {
            duration: concat!("rpc.", $side, ".call.duration"),
            started: concat!("netrpc.", $side, ".calls.started"),
            finished: concat!("netrpc.", $side, ".calls.finished"),
            in_flight: concat!("netrpc.", $side, ".calls.in_flight"),
            received: concat!("netrpc.", $side, ".received.bytes"),
            sent: concat!("netrpc.", $side, ".sent.bytes"),
            connections: concat!("netrpc.", $side, ".connections"),
            opened: concat!("netrpc.", $side, ".connections.opened"),
            closed: concat!("netrpc.", $side, ".connections.closed"),
        }
    };
}

pub(super) static SERVER: Names = names!("server");
pub(super) static CLIENT: Names = names!("client");

pub(super) const REFUSED: &str = "netrpc.server.connections.refused";
pub(super) const AGAIN: &str = "netrpc.client.datagrams.again";
pub(super) const LIMITS: &str = "netrpc.limits.reached";

impl Side {
    pub(super) fn names(self) -> &'static Names {
        match self {
            Side::Server => &SERVER,
            Side::Client => &CLIENT,
        }
    }

    /// Tells the recorder what the metrics are.
    pub(super) fn describe(self) {
        let names = self.names();
        describe_histogram!(names.duration, Unit::Seconds, "How long calls took");
        describe_counter!(names.started, "Calls that have begun");
        describe_counter!(names.finished, "Calls that have ended, by how");
        describe_gauge!(names.in_flight, "Calls that have begun and not ended");
        describe_counter!(names.received, Unit::Bytes, "Bytes that have come");
        describe_counter!(names.sent, Unit::Bytes, "Bytes that were handed to the system");
        describe_gauge!(names.connections, "Connections that are there");
        describe_counter!(names.opened, "Connections that have begun");
        describe_counter!(names.closed, "Connections that have ended, by why");
        if self == Side::Client {
            describe_counter!(AGAIN, "Requests that were sent again over datagrams");
        }
        if self == Side::Server {
            describe_counter!(REFUSED, "Connections that were sent away, by why");
            describe_counter!(LIMITS, "Times that a limit was met, by its name");
        }
    }
}
