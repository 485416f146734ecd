//! The command line.

use std::net::SocketAddr;

use clap::{Parser, Subcommand, value_parser};

use crate::{case::Scenario, server::Flavor, system::System};

/// Measures netrpc beside bare sockets and other RPC systems.
///
/// Every round measures all systems in turn, each with a server and a client process of its own
/// over loopback. The report gives medians over the rounds, and of the ratios within a round the
/// median, the least and the greatest.
#[derive(Debug, Parser)]
#[command(name = "peers")]
pub struct Options {
    #[command(subcommand)]
    pub role: Option<Role>,

    /// How many times everything is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..))]
    pub rounds: u16,

    /// The systems to measure besides those that ratios refer to [default: all]
    #[arg(long, value_name = "SYSTEM,…", value_delimiter = ',')]
    pub only: Vec<System>,

    /// What to measure [default: all that is built]
    #[arg(long, value_name = "SCENARIO,…", value_delimiter = ',')]
    pub scenario: Vec<Scenario>,

    /// How long each measurement lasts, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = value_parser!(u64).range(10..=10_000))]
    pub window: u64,

    /// Measure the netrpc that this program was built with beside that of a git revision, and
    /// nothing else
    #[arg(long, value_name = "REVISION", conflicts_with = "only")]
    pub against: Option<String>,

    /// Print the tables in Markdown
    #[arg(long)]
    pub markdown: bool,
}

/// What the driver starts itself again as.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub enum Role {
    #[command(hide = true)]
    Server { system: System, flavor: Flavor },
    #[command(hide = true)]
    Client { system: System, addr: SocketAddr, workload: String },
}
