//! Hostile peers against a server process: what they cost it in memory, and that its neighbours do not
//! notice.
//!
//! ```sh
//! cargo test --test siege                                          # in small, with bounds asserted
//! cargo test --test siege -- --ignored --nocapture table_of_damage # in full, and Go's server beside
//! ```
//!
//! The server is this program again, with the limits it has by default. Its memory, files and threads
//! are read from `/proc`, so all this is for Linux.
#![cfg(all(target_os = "linux", feature = "macros", feature = "go"))]

mod common;
mod process;

#[allow(unreachable_pub)] // a test has no users
mod siege {
    pub mod attack;
    pub mod besieged;
    pub mod crowd;
    pub mod go;
    pub mod services;
    pub mod words;
}

use std::env;

use futures_util::future::join_all;
use process::{Bytes, say};
use siege::{
    attack::{Attack, Scale},
    besieged::{self, Damage, Whose, under},
    words::Language,
};
use tokio::runtime::Runtime;

/// Carries out an attack in every language it has, and checks what it cost.
fn holds_against(attack: Attack) {
    let files = process::raise_open_files();
    if files < 17_000 {
        say(&format!(
            "ONLY {files} FILES MAY BE OPEN HERE: attacks with many connections may fail"
        ));
    }
    Runtime::new().expect("a runtime").block_on(async {
        let attacks = attack.languages().iter().map(async |&language| {
            let damage = under(attack, language, Whose::Ours, Scale::Test).await;
            println!("{}", line(attack, language, &damage));
            check(attack, language, Scale::Test, &damage)
        });
        for checked in join_all(attacks).await {
            checked.unwrap_or_else(|error| panic!("{error}"));
        }
    });
}

fn check(attack: Attack, language: Language, scale: Scale, damage: &Damage) -> Result<(), String> {
    let peak = &damage.peak;
    let bound = attack.bound(scale);
    let what = if let Some(died) = &damage.died {
        format!("kills the server: {died}")
    } else if *peak > bound {
        format!("costs {peak}, it may cost {bound}")
    } else if let Some(suffered) = &damage.suffered {
        format!("fails a neighbour's call: {suffered}")
    } else if let Err(error) = attack.verify(language, scale, damage) {
        format!("is none: {error}")
    } else {
        return Ok(());
    };
    Err(format!("{attack:?} in {language:?} {what}\n{}", line(attack, language, damage)))
}

fn line(attack: Attack, language: Language, damage: &Damage) -> String {
    let Damage { peak, files, threads, calls, slowest, saw, .. } = damage;
    let name = format!("{attack:?}");
    let saw = damage.died.as_ref().map_or(&saw.text, |died| died);
    let suffered = damage.suffered.as_ref().map_or("", |suffered| suffered);
    format!(
        "{name:<14} {:<8} {peak:>9} {files:>6} files {threads:>4} threads {calls:>5} calls, {:>5} ms at most | {saw} {suffered}",
        language.name(),
        slowest.as_millis(),
    )
}

/// Memory that a server takes is seen, or none of the bounds here would say anything.
#[test]
fn what_a_server_takes_is_measured() {
    Runtime::new().expect("a runtime").block_on(async {
        // More than the bound, since a little less is seen than is made: 63 of 64 MiB.
        let (idle, busy) = (besieged::peak_of(0).await, besieged::peak_of(72 << 20).await);
        assert!(idle < Bytes(2 << 20), "{idle}");
        assert!(busy >= Bytes(64 << 20), "{busy}");
    });
}

/// What attacks are let loose on; see [`besieged`].
#[test]
#[ignore = "a server that the other tests start"]
fn the_besieged() {
    Runtime::new().expect("a runtime").block_on(besieged::be_besieged());
}

/// All in full, ours and Go's.
#[test]
#[ignore = "takes minutes, and needs Go"]
fn table_of_damage() {
    process::raise_open_files();
    let wanted = env::var("NETRPC_ATTACKS").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').filter(|name| !name.is_empty()).collect();
    let mut failures = Vec::new();
    for attack in Attack::ALL {
        if !wanted.is_empty() && !wanted.contains(&&*format!("{attack:?}")) {
            continue;
        }
        let runtime = Runtime::new().expect("a runtime");
        let languages = attack.languages();
        let run = |whose, languages: Vec<Language>| {
            let all = languages.into_iter().map(async |language| {
                (language, under(attack, language, whose, Scale::Full).await)
            });
            runtime.block_on(join_all(all))
        };
        for (language, ours) in run(Whose::Ours, languages.to_vec()) {
            println!("ours {}", line(attack, language, &ours));
            failures.extend(check(attack, language, Scale::Full, &ours).err());
        }
        let possible = languages.iter().filter(|language| attack.is_possible_in_go(**language));
        for (language, gos) in run(Whose::Gos, possible.copied().collect()) {
            println!("Go's {}", line(attack, language, &gos));
        }
    }
    assert!(failures.is_empty(), "these do not hold:\n{}", failures.join("\n"));
}

macro_rules! attacks {
    ($($(#[$doc:meta])* $name:ident: $attack:ident),* $(,)?) => {
        $($(#[$doc])* #[test] fn $name() { holds_against(Attack::$attack) })*
    };
}

attacks! {
    ten_thousand_silent_connections: Silent,
    idle_connections: Idle,
    one_byte_at_a_time: Loris,
    peers_that_vanish: Vanished,
    claims_of_four_gigabytes_at_every_length: Claims,
    a_million_levels_of_nesting: Depth,
    requests_that_never_end: Endless,
    calls_that_never_end: Stuck,
    a_flood_of_cancels: CancelFlood,
    a_flood_of_calls_cancelled_at_once: RapidReset,
    a_flood_of_blocking_calls_cancelled_at_once: BlockingReset,
    a_flood_of_pings: PingFlood,
    a_flood_of_pings_unread: DeafPingFlood,
    a_peer_that_never_reads: NeverReads,
    bytes_that_mean_nothing: Noise,
    frames_in_an_order_that_makes_no_sense: Disorder,
    death_at_every_byte: Deaths,
}
