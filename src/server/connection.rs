//! The server's end of a connection.
//!
//! One task owns it: it reads what there is, decodes every whole frame, runs each call or hands it
//! on, appends the replies to one buffer and writes once. All it owns is in the [`Driver`], behind a
//! lock that nobody else takes for long, with one exception: while a handler runs, the lock is free,
//! and the watchdog may take the driver over. It raises `turn` and starts another task; the old one
//! finds that out when its handler returns, and posts the reply like any other made elsewhere.
//!
//! Replies made elsewhere, and what the server has to say, arrive by [`Mail`].

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context as TaskContext, Poll, Waker},
};

use netrpc_core::{
    CallId, Caller, Cancellation, Context, Extensions, Metadata, error::Disconnected,
    ledger::Owner, service::ReplyBuf,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Live, Shared,
    admission::{Entrance, Place},
    driver::{Driver, Goodbye, Served, Settled},
    tracked::owner_of,
    workers::{Permit, Stall, Watch, Workers},
};
use crate::{
    client::now,
    observe::ObservedConnection,
    outgoing::Outgoing,
    sync::{self, Mutex, MutexGuard},
    turn::{READS, step_aside},
};

/// What a connection is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for IO {}

/// A served connection.
pub(super) struct Connection<IO: Stream> {
    place: Place,
    pub(super) server: Arc<Shared>,
    pub(super) workers: Arc<Workers>,
    pub(super) caller: Arc<Caller>,
    /// What the owner's check has found out of it.
    pub(super) extensions: Option<Arc<Extensions>>,
    /// Whose its sessions are, once one is asked for.
    owner: OnceLock<Option<Owner>>,
    /// For methods that do not ask for a context of their own.
    pub(super) plain: Context,
    /// Locked before `mail` where both are.
    driver: Mutex<Driver<IO>>,
    mail: Mutex<Mail>,
    observed: ObservedConnection,
    ended: Cancellation,
    outcome: OnceLock<Result<(), Arc<Disconnected>>>,
}

/// What others leave for the connection's task.
#[derive(Default)]
struct Mail {
    /// Of calls that run elsewhere; made when the first of them is answered, and given back like buffers.
    letters: Option<Box<Letters>>,
    drain: bool,
    abort: bool,
    /// Whether `drain` or `abort` has been set since the task last looked.
    unread: bool,
    /// The task, while it sleeps. Whoever takes it wakes it.
    task: Option<Waker>,
    /// Nobody will look any more.
    closed: bool,
}

/// What has become of calls that run elsewhere.
#[derive(Default)]
struct Letters {
    /// Replies made elsewhere.
    replies: Outgoing,
    /// The calls they answer.
    finished: Vec<u64>,
    /// Those of them whose handlers still run.
    lingering: Vec<u64>,
    /// Of such calls, how many handlers have ended since.
    ended: usize,
}

/// What calls need one after the other while their connection's task runs.
#[derive(Default)]
pub(super) struct Batch<'a> {
    /// The connection under the watchdog's eyes: asked for at the first call, and then either granted or not.
    pub(super) watch: Option<Option<Watch<'a>>>,
    /// Leave to run handlers on the spot: given back when another wants it, and before anything else is done
    /// than to run them one after the other.
    pub(super) permit: Option<Permit<'a>>,
    /// What replies are encoded into.
    pub(super) reply: ReplyBuf,
}

/// What a task has come to.
enum Work {
    /// It waits.
    Waits,
    /// The driver is another task's by now.
    HandedOver,
    /// The connection has ended.
    Over(Result<(), Disconnected>),
}

/// Starts serving a stream that was admitted.
///
/// # Panics
/// Outside a tokio runtime.
pub(super) fn start<IO: Stream>(entrance: Entrance, io: IO) -> Arc<Connection<IO>> {
    let Entrance { place, caller, deadline, welcome, .. } = entrance;
    let (extensions, refused) = match welcome {
        Ok(known) => (known, None),
        Err(reason) => (None, Some(reason)),
    };
    let server = place.server.clone();
    let caller = Arc::new(caller);
    let call = CallId { connection: place.number, seq: 0 };
    server.observer.attach(&server.registry);
    let observed = ObservedConnection::served();
    let driver = Driver::new(io, &server, (deadline, refused), observed.clone());
    let ended = Cancellation::new();
    let plain = Context::new(call, caller.clone(), None, Metadata::new(), ended.clone(), now);
    let connection = Arc::new(Connection {
        place,
        workers: Workers::current(),
        plain,
        caller,
        extensions,
        owner: OnceLock::new(),
        driver: Mutex::new(driver),
        mail: Mutex::default(),
        observed,
        ended,
        outcome: OnceLock::new(),
        server,
    });
    connection.place.hold(connection.clone());
    connection.clone().spawn(0);
    connection
}

impl<IO: Stream> Connection<IO> {
    /// Waits for the end; tells what ended it, unless the peer left in peace.
    pub(super) async fn ended(&self) -> Result<(), Arc<Disconnected>> {
        self.ended.cancelled().await;
        self.outcome.get().cloned().unwrap_or(Ok(()))
    }

    /// Connections are numbered as they are accepted.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        self.place.number
    }

    /// Whose the sessions are that are opened here: `None` if the peer has proved nothing.
    pub(super) fn owner(&self) -> Option<&Owner> {
        let identity = self.caller.identity.as_ref();
        self.owner.get_or_init(|| identity.map(owner_of)).as_ref()
    }

    fn spawn(self: Arc<Self>, turn: u64) {
        let handle = self.workers.handle().clone();
        handle.spawn(Task { connection: self, turn });
    }

    /// Does all there is to do.
    fn work(
        self: &Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        cx: &mut TaskContext<'_>,
    ) -> Work {
        let mut batch = Batch::default();
        let mut reads = 0;
        loop {
            if !self.open_mail(driver, cx) {
                return Work::Waits;
            }
            if driver.aborted {
                return Work::Over(Err(Disconnected::Closed));
            }
            let served = if driver.has_nothing_to_serve() {
                Ok(Served::All)
            } else {
                self.serve(driver, &mut batch)
            };
            let served = match served {
                Ok(Served::HandedOver) => return Work::HandedOver,
                Ok(served) => served,
                Err(cause) => {
                    driver.close(cause);
                    Served::All
                }
            };
            if let Poll::Ready(end) = driver.poll_write(cx) {
                return Work::Over(Err(end));
            }
            if let Poll::Ready(end) = driver.poll_end(cx) {
                return Work::Over(end);
            }
            let full = driver.queued() > self.server.limits.output_bytes;
            match served {
                // There was no room for more replies, and now there is.
                Served::OutputFull if !full => continue,
                Served::All if !full => match driver.poll_read(cx) {
                    Poll::Ready(Ok(())) => {
                        reads += 1;
                        if reads == READS {
                            step_aside(cx);
                            return Work::Waits;
                        }
                        continue;
                    }
                    Poll::Ready(Err(end)) => return Work::Over(end),
                    Poll::Pending => {}
                },
                // Not read from until the peer has read, or calls have finished.
                Served::All | Served::OutputFull | Served::CallsFull => {}
                Served::HandedOver => unreachable!("returned above"),
            }
            let reading = served == Served::All && !full;
            match driver.settle(cx, reading, &self.server.limits.times) {
                Settled::Asleep => {}
                Settled::Awake => continue,
                Settled::Over(end) => return Work::Over(Err(end)),
            }
            if self.sleep(driver, cx) {
                return Work::Waits;
            }
        }
    }

    /// Takes what others have left. `false` if the task is to be polled again first: more replies may
    /// be made by those who are ready to run, and they share the write.
    fn open_mail(&self, driver: &mut Driver<IO>, cx: &mut TaskContext<'_>) -> bool {
        let mut mail = self.mail.lock();
        if let Some(letters) = &mut mail.letters {
            if !letters.replies.is_empty() && !driver.yielded {
                driver.yielded = true;
                step_aside(cx);
                return false;
            }
            driver.yielded = false;
            driver.output.append(&mut letters.replies);
            for seq in letters.finished.drain(..) {
                driver.session.finished(seq);
            }
            for seq in letters.lingering.drain(..) {
                driver.session.lingers(seq);
            }
            for _ in 0..std::mem::take(&mut letters.ended) {
                driver.session.ended();
            }
        }
        if mail.drain {
            driver.drain(Goodbye::ShuttingDown);
        }
        driver.aborted = mail.abort;
        mail.unread = false;
        true
    }

    /// Lets the task sleep; `false` if there is mail.
    fn sleep(&self, driver: &Driver<IO>, cx: &mut TaskContext<'_>) -> bool {
        let mut mail = self.mail.lock();
        if let Some(letters) = &mail.letters {
            if !letters.finished.is_empty() {
                return false;
            }
            if !mail.unread && !driver.input.holds_memory() {
                // The driver has given its buffers back.
                mail.letters = None;
            }
        }
        if mail.unread {
            return false;
        }
        // Most often it is there yet: nobody has woken the task but its stream.
        if !mail.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            mail.task = Some(cx.waker().clone());
        }
        true
    }

    /// Leaves the answer to call `seq` for the connection's task.
    pub(super) fn post(&self, seq: u64, frame: &mut Vec<u8>) {
        let task = {
            let mut mail = self.mail.lock();
            if mail.closed {
                drop(mail);
                // Nobody gets the answer, but it no longer counts among those that the server runs.
                self.driver.lock().session.finished(seq);
                return;
            }
            let letters = mail.letters.get_or_insert_default();
            letters.replies.push(frame);
            letters.finished.push(seq);
            mail.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    /// The same of a call whose handler still runs, so that its slot is not free.
    pub(super) fn post_early(&self, seq: u64, frame: &mut Vec<u8>) {
        self.tell(|mail| {
            if !mail.closed {
                let letters = mail.letters.get_or_insert_default();
                letters.replies.push(frame);
                letters.lingering.push(seq);
            }
        });
    }

    /// The last handler of such a call has ended.
    pub(super) fn handler_ended(&self) {
        self.tell(|mail| mail.letters.get_or_insert_default().ended += 1);
    }

    fn tell(&self, say: impl FnOnce(&mut Mail)) {
        let task = {
            let mut mail = self.mail.lock();
            say(&mut mail);
            mail.unread = true;
            mail.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Lets go of everything.
    fn end(&self, mut driver: MutexGuard<'_, Driver<IO>>, result: Result<(), Disconnected>) {
        let (left, running) = driver.take_down();
        drop(driver);
        let mail =
            std::mem::replace(&mut *self.mail.lock(), Mail { closed: true, ..Mail::default() });
        drop((left, mail));
        // Only now, and without a lock: whoever listens may do anything.
        for cancellation in running {
            cancellation.cancel();
        }
        if let Err(cause) = &result {
            let cause = netrpc_core::error::chain(cause);
            tracing::debug!(connection = self.place.number, peer = %self.caller.peer, %cause, "connection ended");
        }
        self.observed.ended(result.as_ref().err());
        let _ = self.outcome.set(result.map_err(Arc::new));
        self.place.leave();
        self.ended.cancel();
    }
}

impl<IO: Stream> Live for Connection<IO> {
    fn drain(&self) {
        self.tell(|mail| mail.drain = true);
    }

    fn abort(&self) {
        self.tell(|mail| mail.abort = true);
    }
}

impl<IO: Stream> Stall for Connection<IO> {
    fn take_over(self: Arc<Self>, seen: &mut u64) -> bool {
        // Locked: the task is at work, not in a handler.
        let Some(mut driver) = self.driver.try_lock() else { return false };
        if driver.inline.is_none() {
            return false;
        }
        if driver.calls != *seen {
            *seen = driver.calls;
            return false;
        }
        let turn = driver.hand_over();
        drop(driver);
        self.spawn(turn);
        true
    }
}

/// A task that owns the connection as long as it is its turn.
struct Task<IO: Stream> {
    connection: Arc<Connection<IO>>,
    turn: u64,
}

impl<IO: Stream> Future for Task<IO> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let connection = &self.connection;
        let mut driver = connection.driver.lock();
        if !driver.is_driven_by(self.turn) {
            return Poll::Ready(());
        }
        match connection.work(&mut driver, cx) {
            Work::Waits => {
                let unfinished = std::mem::take(&mut driver.unfinished);
                let walking = std::mem::take(&mut driver.walking);
                drop(driver);
                for walking in walking {
                    sync::spawn(walking.arrive());
                }
                for unfinished in unfinished {
                    sync::spawn(connection.clone().finish(unfinished));
                }
                Poll::Pending
            }
            Work::HandedOver => Poll::Ready(()),
            Work::Over(result) => {
                connection.end(driver, result);
                Poll::Ready(())
            }
        }
    }
}

impl<IO: Stream> Drop for Task<IO> {
    fn drop(&mut self) {
        // The runtime is going down, or this is a bug of ours: either way nobody else drives.
        let driver = self.connection.driver.lock();
        if driver.is_driven_by(self.turn) {
            self.connection.end(driver, Err(Disconnected::Runtime));
        }
    }
}
