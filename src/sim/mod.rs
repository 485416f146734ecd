//! Servers and clients in a simulated network, where everything goes wrong as a seed decides.
//!
//! A [`Simulation`] is several hosts in one thread: real servers, real clients, real handlers, over a network
//! that loses, delays, cuts and partitions, on hosts that crash and disks that forget. Its time is its own:
//! it goes from one event to the next, so that an hour takes seconds. Everything random comes from one
//! seed, so that a run which fails does so again, each time.
//!
//! ```
//! use std::{sync::atomic::{AtomicU64, Ordering::Relaxed}, time::Duration};
//!
//! use netrpc::{CallOptions, Semantics, service, sim::{Crash, Faults, Simulation}};
//!
//! #[derive(Default)]
//! struct Counter(AtomicU64);
//!
//! #[service]
//! impl Counter {
//!     fn raise_to(&self, number: u64, reply: &mut u64) {
//!         *reply = self.0.fetch_max(number, Relaxed).max(number);
//!     }
//! }
//!
//! let mut sim = Simulation::new(7);
//! sim.network().set_faults(Faults::new().cut(0.05).drop(0.1));
//! sim.host("server", |host| async move {
//!     let server = host.server().build();
//!     server.register(Counter::default())?;
//!     server.serve(host.listen(1000)?).await;
//!     Ok(())
//! });
//! sim.run("client", |host| async move {
//!     let options = CallOptions::new().semantics(Semantics::AtLeastOnce).timeout(Duration::from_secs(60));
//!     let client = host.client().options(options).connect_with(host.connector("server", 1000)).await?;
//!     for number in 1..=100 {
//!         if number == 50 {
//!             host.network().crash("server", Crash::Kill);
//!             host.network().restart("server");
//!         }
//!         let reached: u64 = client.call("Counter.RaiseTo", &number).await?;
//!         assert_eq!(reached, number);
//!     }
//!     Ok(())
//! })?;
//! assert!(sim.counts().cut > 0 && sim.counts().killed == 1, "{:?}", sim.counts());
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
//!
//! # What is simulated
//!
//! - Connections, by [`SimListener`] and [`SimConnector`], for [`Server::serve`](crate::Server::serve) and
//!   [`ClientBuilder::connect_with`](crate::ClientBuilder::connect_with). They can be
//!   [taken apart by message](Faults::by_message), so that each request and each answer is lost on its own.
//! - What goes wrong on each link in each direction ([`Faults`]), partitions, also one-way ones, and hosts that
//!   crash and start again ([`Network`]).
//! - Datagrams, by [`SimDatagramSocket`].
//! - Files ([`Disk`]), of which a power failure leaves what was synced; with the feature `durable` also ledgers and
//!   clients' logs in them, `Host::ledger` and `Host::log`.
//! - Time: `tokio::time`, in steps of a millisecond.
//!
//! # What is not
//!
//! - Threads. A host is one thread's runtime; handlers run on it ([`Host::server`]). What a handler starts
//!   elsewhere (`spawn_blocking`, a method marked `blocking`, a thread) is as unpredictable as ever.
//! - The wall clock: `std::time::Instant::now()` goes on as always. Use `tokio::time::Instant`.
//! - Randomness from elsewhere, such as `HashMap`'s order and branches of `tokio::select!` without `biased`. Take
//!   numbers from [`Host::random`].
//! - Anything below a connection's bytes: no packets, no congestion.
//!
//! # Running many seeds
//!
//! [`for_seeds`] runs a test with one seed after the other, and says how to run the one again that failed.
//! [`Simulation::trace_hash`] tells whether two runs were the same.

mod connection;
mod counts;
mod datagram;
mod disk;
mod faults;
mod framing;
mod host;
mod network;
mod random;
mod seeds;
mod simulation;
#[cfg(feature = "durable")]
mod storage;
mod stream;
mod trace;
mod world;

pub use counts::{Counts, Traffic};
pub use datagram::SimDatagramSocket;
pub use disk::{Disk, File};
pub use faults::Faults;
pub use host::Host;
pub use network::{Crash, Network};
pub use random::Random;
pub use seeds::for_seeds;
pub use simulation::Simulation;
pub use stream::{SimConnector, SimListener, SimStream};

/// What software on a host comes to.
pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
