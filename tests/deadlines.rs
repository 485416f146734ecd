//! Time that a call may take: how it is set, inherited, and used up.

mod common;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::pipe;
use netrpc::{CallOptions, Client, Context, Error, Server, service};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// Works for a while, then asks the next, with the time and no metadata of its own caller.
struct Hop {
    work: Duration,
    next: Option<Client>,
    /// What each call had left when it came.
    left: Mutex<Vec<Option<Duration>>>,
    begun: Semaphore,
    given_up: Arc<AtomicBool>,
}

/// Notices that its handler was dropped before it was done.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[service]
impl Hop {
    async fn ask(&self, cx: &Context, n: u64, reply: &mut u64) -> Result<(), Error> {
        let noticed = Dropped(self.given_up.clone());
        self.left.lock().unwrap().push(cx.time_left());
        self.begun.add_permits(1);
        sleep(self.work).await;
        *reply = match &self.next {
            None => n,
            Some(next) => {
                next.with(CallOptions::inherit(cx)).call::<_, u64>("Hop.Ask", &n).await? + 1
            }
        };
        std::mem::forget(noticed);
        Ok(())
    }

    async fn metadata(&self, cx: &Context, n: u64, reply: &mut u64) -> Result<(), Error> {
        *reply = match &self.next {
            None => cx.metadata().len() as u64,
            Some(next) => next.with(CallOptions::inherit(cx)).call("Hop.Metadata", &n).await?,
        };
        Ok(())
    }
}

fn hop(work: Duration, next: Option<Client>) -> (Arc<Hop>, Client) {
    let hop = Arc::new(Hop {
        work,
        next,
        left: Mutex::default(),
        begun: Semaphore::new(0),
        given_up: Arc::default(),
    });
    let server = Server::new();
    server.register(hop.clone()).unwrap();
    let client = pipe(&server);
    (hop, client)
}

/// Three hops that work for 100 ms each.
fn chain() -> ([Arc<Hop>; 3], Client) {
    let work = Duration::from_millis(100);
    let (c, to_c) = hop(work, None);
    let (b, to_b) = hop(work, Some(to_c));
    let (a, to_a) = hop(work, Some(to_b));
    ([a, b, c], to_a)
}

const MS: fn(u64) -> Duration = Duration::from_millis;

#[tokio::test(start_paused = true)]
async fn each_hop_has_the_time_that_those_before_it_have_left() {
    let (hops, client) = chain();
    let timed = client.with(CallOptions::new().timeout(MS(1000)));
    assert_eq!(timed.call::<_, u64>("Hop.Ask", &1).await.unwrap(), 3);
    let left = hops.clone().map(|hop| hop.left.lock().unwrap()[0].unwrap());
    assert_eq!(left, [MS(1000), MS(900), MS(800)]);
    assert_eq!(client.call::<_, u64>("Hop.Ask", &1).await.unwrap(), 3);
    assert_eq!(hops.map(|hop| hop.left.lock().unwrap()[1]), [None; 3], "none is made up");
}

#[tokio::test(start_paused = true)]
async fn when_the_first_caller_gives_up_so_does_everybody() {
    let (hops, client) = chain();
    let [_, _, c] = &hops;
    let begun = Instant::now();
    let hasty = client.with(CallOptions::new().timeout(MS(250)));
    let error = hasty.call::<_, u64>("Hop.Ask", &1).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    assert_eq!(begun.elapsed(), MS(250));
    assert_eq!(c.begun.available_permits(), 1, "the last had begun");
    sleep(MS(5)).await;
    assert!(hops.iter().all(|hop| hop.given_up.load(Ordering::SeqCst)));

    // The same without a deadline, by dropping the call.
    let (hops, client) = chain();
    let call = client.go::<_, u64>("Hop.Ask", &1);
    hops[2].begun.acquire().await.unwrap().forget();
    drop(call);
    sleep(MS(5)).await;
    assert!(hops.iter().all(|hop| hop.given_up.load(Ordering::SeqCst)));
}

#[tokio::test(start_paused = true)]
async fn a_hop_without_time_left_does_not_call_on() {
    let ([a, b, _], client) = chain();
    let options = CallOptions::new().deadline((Instant::now() + MS(50)).into_std());
    let given = client.with(options);
    sleep(MS(50)).await;
    let late = given.go::<_, u64>("Hop.Ask", &1);
    for error in [given.call::<_, u64>("Hop.Ask", &1).await, late.await] {
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Deadline { may_have_run: false }), "{error:?}");
    }
    assert!(a.left.lock().unwrap().is_empty(), "nothing was sent");
    assert!(b.left.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn options_never_give_more_time_than_there_is() {
    let (hop, client) = hop(MS(0), None);
    let now = Instant::now().into_std();
    let left = async |options: CallOptions, over: CallOptions| {
        let () =
            client.with(options).with(over).call("Hop.Ask", &1).await.map(|_: u64| ()).unwrap();
        hop.left.lock().unwrap().pop().unwrap().map(|left| left.as_millis())
    };
    let new = CallOptions::new;
    assert_eq!(left(new().timeout(MS(70)), new()).await, Some(70));
    assert_eq!(left(new().timeout(MS(70)), new().timeout(MS(90))).await, Some(90));
    assert_eq!(left(new().timeout(MS(70)), new().no_timeout()).await, None);
    let until = |ms| new().deadline(now + MS(ms));
    assert_eq!(left(until(500), new().timeout(MS(90))).await.unwrap().min(90), 90);
    let capped = left(until(500), new().timeout(MS(9000))).await.unwrap();
    assert!((400..=500).contains(&capped), "{capped}");
    let capped = left(until(500), until(700).no_timeout()).await.unwrap();
    assert!((400..=500).contains(&capped), "{capped}");
    let capped = left(until(700), until(500)).await.unwrap();
    assert!((400..=500).contains(&capped), "{capped}");
    let endless = left(new().timeout(Duration::MAX), new()).await;
    assert!(endless.is_none_or(|ms| ms > 1 << 40), "{endless:?}");
}

#[tokio::test(start_paused = true)]
async fn metadata_is_not_inherited() {
    let (_, client) = chain();
    let client = client.with(CallOptions::new().metadata("token", "secret"));
    assert_eq!(client.call::<_, u64>("Hop.Metadata", &1).await.unwrap(), 0);
}

/// A timeout counts while the call waits for room in the queue.
#[tokio::test(start_paused = true)]
async fn waiting_for_room_counts() {
    let (ours, theirs) = tokio::io::duplex(64);
    let client = Client::builder()
        .max_queued_bytes(1000)
        .options(CallOptions::new().timeout(MS(300)))
        .connect(ours);
    let stuffed = client.go::<_, u64>("Hop.Ask", &[1u8; 2000][..]);
    let begun = Instant::now();
    let error = client.call::<_, u64>("Hop.Ask", &1).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: false }), "{error:?}");
    assert_eq!(begun.elapsed(), MS(300));
    assert!(stuffed.await.unwrap_err().may_have_run(), "a part of it has left");
    drop(theirs);
}
