//! The customer, and what it notes.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use netrpc::{CallOptions, Client, Error, Semantics};
use tokio::{runtime::Runtime, time::sleep};

use crate::{AT, DIR, LIFE, process, reconnect};

/// The test that is the customer when this program starts itself again.
pub const ROLE: &str = "bank::customer::the_customer";

/// Calls of each kind that one life has under way.
const TASKS: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ExactlyOnce,
    AtMostOnce,
    AtLeastOnce,
    Maybe,
}

impl Kind {
    pub const ALL: [Kind; 4] =
        [Kind::ExactlyOnce, Kind::AtMostOnce, Kind::AtLeastOnce, Kind::Maybe];

    fn semantics(self) -> Semantics {
        match self {
            Kind::ExactlyOnce => Semantics::ExactlyOnce,
            Kind::AtMostOnce => Semantics::AtMostOnce,
            Kind::AtLeastOnce => Semantics::AtLeastOnce,
            Kind::Maybe => Semantics::Maybe,
        }
    }

    fn method(self) -> &'static str {
        if self == Kind::ExactlyOnce { "Bank.Debit" } else { "Bank.HandOut" }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::ExactlyOnce => "exactly once",
            Kind::AtMostOnce => "at most once",
            Kind::AtLeastOnce => "at least once",
            Kind::Maybe => "maybe",
        }
    }

    fn of(id: u64) -> Kind {
        Kind::ALL[(id >> 56) as usize]
    }
}

/// What is noted of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    /// It is about to be made.
    Begun,
    Acknowledged,
    /// It may have run.
    Unknown,
    HasNotRun,
    /// Its outcome was found by another life; what that was is noted too.
    Recovered,
}

const NOTES: [Note; 5] =
    [Note::Begun, Note::Acknowledged, Note::Unknown, Note::HasNotRun, Note::Recovered];

struct Diary(File);

impl Diary {
    fn open(dir: &Path) -> Self {
        let path = dir.join("diary");
        Diary(OpenOptions::new().append(true).create(true).open(path).expect("a file"))
    }

    /// One write that appends is one note.
    fn note(&self, note: Note, id: u64) {
        let mut bytes = [0; 9];
        bytes[0] = NOTES.iter().position(|it| *it == note).expect("one of them") as u8;
        bytes[1..].copy_from_slice(&id.to_le_bytes());
        (&self.0).write_all(&bytes).expect("there is room");
    }

    fn outcome<R>(&self, id: u64, outcome: &Result<R, Error>) {
        let note = match outcome {
            Ok(_) => Note::Acknowledged,
            Err(error) if error.may_have_run() => Note::Unknown,
            Err(_) => Note::HasNotRun,
        };
        self.note(note, id);
    }
}

pub fn log(dir: &Path) -> PathBuf {
    dir.join("customer.log")
}

/// Notes what has become of the calls that the log remembers.
pub async fn recover(client: &Client, dir: &Path) {
    let (diary, recovered) = (Diary::open(dir), client.recovered());
    while let Some(call) = recovered.next().await {
        let id = u64::from_le_bytes(call.tag().try_into().expect("its number"));
        let (outcome, receipt) = call.outcome::<i64>();
        diary.note(Note::Recovered, id);
        diary.outcome(id, &outcome);
        receipt.settle();
    }
}

/// Makes one call after the other.
async fn call(client: Client, diary: Arc<Diary>, kind: Kind, first: u64) {
    for id in first.. {
        let client = client.with(CallOptions::new().tag(id.to_le_bytes()));
        diary.note(Note::Begun, id);
        let (outcome, receipt) = client.go::<_, i64>(kind.method(), &id).with_receipt().await;
        diary.outcome(id, &outcome);
        receipt.settle();
        if outcome.is_err() {
            sleep(Duration::from_millis(5)).await; // nobody is there
        }
    }
}

#[test]
#[ignore = "a client that the other test starts"]
fn the_customer() {
    if !process::plays(ROLE) {
        return;
    }
    let dir = PathBuf::from(env::var_os(DIR).expect("a folder"));
    let life: u64 = env::var(LIFE).expect("a number").parse().expect("a number");
    let at = env::var(AT).expect("an address").parse::<std::net::SocketAddr>().expect("an address");
    Runtime::new().expect("a runtime").block_on(async {
        let client = Client::builder()
            .reconnect(reconnect().lazy(true))
            .log(log(&dir))
            .dial(at)
            .await
            .expect("the log is whole, and nobody else has it");
        let diary = Arc::new(Diary::open(&dir));
        for (number, kind) in (0..).zip(Kind::ALL) {
            let client = client.with(CallOptions::new().semantics(kind.semantics()));
            for task in 0..TASKS {
                let first = number << 56 | life << 32 | task << 24;
                tokio::spawn(call(client.clone(), diary.clone(), kind, first));
            }
        }
        tokio::spawn(async move { recover(&client, &dir).await });
        process::play("customer", at).await;
    });
}

/// What the customer has noted.
pub struct Story {
    /// Of each call: what it was told.
    told: BTreeMap<u64, Option<Note>>,
    recovered: u64,
}

impl Story {
    pub fn read(dir: &Path) -> Self {
        let bytes = fs::read(dir.join("diary")).unwrap_or_default();
        let (notes, _) = bytes.as_chunks::<9>(); // it may be at it
        let (mut told, mut recovered) = (BTreeMap::new(), 0);
        for note in notes {
            let id = u64::from_le_bytes(*note[1..].first_chunk().expect("eight bytes"));
            match NOTES[usize::from(note[0])] {
                Note::Begun => assert_eq!(told.insert(id, None), None, "{id:x} is begun twice"),
                Note::Recovered => recovered += 1,
                note => {
                    let before = told.insert(id, Some(note)).expect("it was begun");
                    // Who crashed between noting it and settling it learns it again.
                    assert!(
                        before.is_none_or(|before| before == note),
                        "{id:x}: {before:?}, {note:?}"
                    );
                }
            }
        }
        Story { told, recovered }
    }

    /// How many of each kind were acknowledged.
    pub fn answered(&self) -> BTreeMap<Kind, u64> {
        let mut answered = BTreeMap::from(Kind::ALL.map(|kind| (kind, 0)));
        for (id, told) in &self.told {
            if *told == Some(Note::Acknowledged) {
                *answered.entry(Kind::of(*id)).or_default() += 1;
            }
        }
        answered
    }

    /// What was told beside what is there, counted.
    pub fn compare(&self, there: &BTreeMap<u64, u64>) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        let recovered = "recovered by another life of the customer".to_owned();
        found.insert(recovered, self.recovered);
        for (id, told) in &self.told {
            let told = match told {
                None => "never told",
                Some(Note::Acknowledged) => "acknowledged",
                Some(Note::Unknown) => "unknown",
                Some(Note::HasNotRun) => "has not run",
                Some(Note::Begun | Note::Recovered) => unreachable!("these are no outcomes"),
            };
            let times = there.get(id).copied().unwrap_or(0);
            let what = format!("{}: {told}, there {times} times", Kind::of(*id).name());
            *found.entry(what).or_default() += 1;
        }
        assert!(
            there.keys().all(|id| self.told.contains_key(id)),
            "nothing is there that nobody made"
        );
        found
    }
}
