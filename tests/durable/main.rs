//! Calls that run at most once and exactly once, across crashes of the server: its ledger on a disk.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../rpc-ledger/tests/common/mod.rs"]
mod disk;

mod bank;
mod completions;
mod crashes;
mod failures;
mod transactions;
