//! Who may call: checks of each call, whatever it comes in.

mod common;

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use common::{Raw, dial, encoded, listen, pipe, request, request_with, soon};
use netrpc::{
    Authorize, CallInfo, CallOptions, Client, Context, Error, Fault, Metadata, Peer, Protocol,
    Refusal, Server, ServerBuilder, service,
};
use netrpc_core::wire::{self, FaultCode, Kind, RequestFields};
use tokio::sync::Semaphore;

#[derive(Clone, Debug, PartialEq)]
struct User(String);

#[derive(Default)]
struct Counts {
    began: AtomicUsize,
    ended: AtomicUsize,
}

/// Counts what runs, and tells who calls.
struct Desk {
    counts: Arc<Counts>,
    gate: Arc<Semaphore>,
    pass: Mutex<mpsc::Receiver<()>>,
}

impl Desk {
    fn who(&self, cx: &Context) -> String {
        self.counts.began.fetch_add(1, Ordering::SeqCst);
        cx.extension::<User>().map_or_else(|| "nobody".to_owned(), |user| user.0.clone())
    }
}

#[service]
impl Desk {
    fn whoami(&self, cx: &Context, (): (), reply: &mut String) {
        *reply = self.who(cx);
    }

    async fn whoami_later(&self, cx: &Context, (): (), reply: &mut String) {
        tokio::task::yield_now().await;
        *reply = self.who(cx);
    }

    #[method(blocking)]
    fn whoami_blocking(&self, cx: &Context, (): (), reply: &mut String) {
        *reply = self.who(cx);
    }

    fn add(&self, (a, b): (i64, i64), reply: &mut i64) {
        self.counts.began.fetch_add(1, Ordering::SeqCst);
        *reply = a + b;
    }

    fn panics(&self, (): (), _reply: &mut i64) {
        panic!("at the desk");
    }

    /// Ends when the test lets it.
    async fn gated(&self, (): (), reply: &mut i64) {
        self.counts.began.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.counts.ended.fetch_add(1, Ordering::SeqCst);
        *reply = 1;
    }

    #[method(no_cancel)]
    async fn gated_to_the_end(&self, (): (), reply: &mut i64) {
        self.gated((), reply).await;
    }

    /// The same, without giving its thread back.
    #[method(blocking)]
    fn held(&self, cx: &Context, (): (), reply: &mut bool) {
        self.counts.began.fetch_add(1, Ordering::SeqCst);
        self.pass.lock().unwrap().recv().unwrap();
        *reply = cx.is_cancelled();
        self.counts.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server of a desk, and what its tests hold.
struct Fixture {
    server: Server,
    counts: Arc<Counts>,
    gate: Arc<Semaphore>,
    pass: mpsc::Sender<()>,
}

impl Fixture {
    fn new(builder: ServerBuilder) -> Self {
        let (counts, gate) = (Arc::new(Counts::default()), Arc::new(Semaphore::new(0)));
        let (pass, passed) = mpsc::channel();
        let server = builder.build();
        let desk = Desk { counts: counts.clone(), gate: gate.clone(), pass: Mutex::new(passed) };
        server.register(desk).unwrap();
        Fixture { server, counts, gate, pass }
    }

    fn began(&self) -> usize {
        self.counts.began.load(Ordering::SeqCst)
    }

    fn ended(&self) -> usize {
        self.counts.ended.load(Ordering::SeqCst)
    }
}

/// Lets pass who shows a token, and remembers the name on it.
async fn by_token(call: CallInfo) -> Result<User, Fault> {
    match call.metadata().get("token") {
        Some("banned") => Err(Fault::denied("not you")),
        Some(name) => Ok(User(name.to_owned())),
        None => Err(Fault::unauthenticated("show a token")),
    }
}

fn with_token(client: &Client, token: &str) -> Client {
    client.with(CallOptions::new().metadata("token", token))
}

/// The refusal and its reason.
fn refused(error: Error) -> (Refusal, String) {
    assert!(!error.may_have_run(), "{error:?}");
    match error {
        Error::Refused { refusal, message } => (refusal, message),
        other => panic!("not refused: {other:?}"),
    }
}

async fn whoami(client: &Client) -> Result<String, Error> {
    soon(client.call("Desk.Whoami", &())).await
}

/// Lets everything run that can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_is_refused_is_told_why_and_nothing_runs() {
    let desk = Fixture::new(Server::builder().authorize(by_token));
    let client = dial(&desk.server).await;
    let error = whoami(&client).await.unwrap_err();
    assert_eq!(refused(error), (Refusal::Unauthenticated, "show a token".to_owned()));
    let error = whoami(&with_token(&client, "banned")).await.unwrap_err();
    assert_eq!(refused(error), (Refusal::Denied, "not you".to_owned()));
    assert_eq!(desk.began(), 0);
    assert_eq!(whoami(&with_token(&client, "ada")).await.unwrap(), "ada");
    assert_eq!(desk.began(), 1, "on the same connection");
}

#[tokio::test]
async fn what_the_check_has_found_out_reaches_the_handler_wherever_it_runs() {
    let desk = Fixture::new(Server::builder().authorize(by_token));
    let ada = with_token(&dial(&desk.server).await, "ada");
    for method in ["Desk.Whoami", "Desk.WhoamiLater", "Desk.WhoamiBlocking", "Desk.whoami"] {
        for _ in 0..3 {
            let name: String = soon(ada.call(method, &())).await.unwrap();
            assert_eq!(name, "ada", "{method}");
        }
    }
    assert_eq!(soon(ada.call::<_, i64>("Desk.Add", &(2, 3))).await.unwrap(), 5);
}

/// `[fault.secret]`
#[tokio::test]
async fn methods_cannot_be_told_from_others_by_those_who_are_refused() {
    let desk = Fixture::new(Server::builder().authorize(by_token));
    let mut raw = Raw::dial(listen(&desk.server).await).await;
    let mut answers = Vec::new();
    for (seq, name) in (1..).zip(["Desk.Add", "Desk.Nope", "Nowhere.Nope", "nonsense"]) {
        raw.request(seq, name, &encoded(&(1, 2))).await;
        answers.push(raw.fault(seq).await);
    }
    assert_eq!(answers[0], (FaultCode::Unauthenticated, "show a token".to_owned()));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");

    let mut metadata = Metadata::new();
    metadata.insert("token", "ada");
    let fields = RequestFields { deadline: None, metadata: Some(&metadata) };
    raw.send(&request_with(9, "Desk.Nope", &fields, &encoded(&()))).await;
    let told = raw.fault(9).await;
    assert_eq!(told, (FaultCode::UnknownMethod, "rpc: can't find method Desk.Nope".to_owned()));
}

#[tokio::test]
async fn a_check_knows_the_call() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let check = move |call: CallInfo| {
        let (service, method) = (call.service().to_owned(), call.method().to_owned());
        assert!(matches!(call.peer(), Peer::Tcp(_)) && call.call_id().connection > 0);
        assert_eq!((call.deadline().is_some(), call.protocol()), (true, Protocol::Native));
        note.lock().unwrap().push((call.full_name().to_owned(), service, method, call.exists()));
        async { Ok(()) }
    };
    let desk = Fixture::new(Server::builder().authorize(check));
    let client = dial(&desk.server).await;
    let client = client.with(CallOptions::new().timeout(Duration::from_secs(60)));
    // The name that was registered, also where the caller has used another.
    assert_eq!(client.call::<_, i64>("Desk.add", &(1, 2)).await.unwrap(), 3);
    client.call::<_, i64>("a.b.C", &()).await.unwrap_err();
    client.call::<_, i64>("none", &()).await.unwrap_err();
    let expected = [
        ("Desk.Add", "Desk", "Add", true),
        ("a.b.C", "a.b", "C", false),
        ("none", "none", "", false),
    ]
    .map(|(name, service, method, exists)| {
        (name.to_owned(), service.to_owned(), method.to_owned(), exists)
    });
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_check_may_change_its_mind() {
    let left = Arc::new(AtomicUsize::new(2));
    let check = move |_: CallInfo| {
        let left = left.clone();
        async move {
            let one_less = |left: usize| left.checked_sub(1);
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
                Ok(_) => Ok(()),
                Err(_) => Err(Fault::denied("that was enough")),
            }
        }
    };
    let desk = Fixture::new(Server::builder().authorize(check));
    let client = dial(&desk.server).await;
    assert!(whoami(&client).await.is_ok() && whoami(&client).await.is_ok());
    let error = whoami(&client).await.unwrap_err();
    assert_eq!(refused(error), (Refusal::Denied, "that was enough".to_owned()));
}

/// A check that borrows, and one behind it.
struct Named(Vec<String>);

impl Authorize for Named {
    type Principal = User;

    async fn authorize(&self, call: &CallInfo) -> Result<User, Fault> {
        let name = call.metadata().get("token").unwrap_or("nobody");
        tokio::task::yield_now().await;
        let known = self.0.iter().find(|known| *known == name);
        known.map(|name| User(name.clone())).ok_or_else(|| Fault::new("who is that?"))
    }
}

#[tokio::test]
async fn later_checks_see_what_the_earlier_ones_have_let_pass() {
    let second = |call: CallInfo| async move {
        match call.extension::<User>() {
            Some(User(name)) if name == "eve" => Err(Fault::overloaded("later, eve")),
            Some(_) => Ok(7u8),
            None => unreachable!("the first check has found out"),
        }
    };
    let names = ["ada", "eve"].map(str::to_owned).to_vec();
    let desk = Fixture::new(Server::builder().authorize(Named(names)).authorize(second));
    let client = dial(&desk.server).await;
    assert_eq!(whoami(&with_token(&client, "ada")).await.unwrap(), "ada");
    let error = whoami(&with_token(&client, "eve")).await.unwrap_err();
    assert_eq!(refused(error), (Refusal::Overloaded, "later, eve".to_owned()));
    // A check cannot say that the method has run.
    let error = whoami(&client).await.unwrap_err();
    assert_eq!(refused(error), (Refusal::Denied, "who is that?".to_owned()));
}

#[tokio::test]
async fn a_check_that_panics_is_an_error_of_its_call_alone() {
    let check = |call: CallInfo| {
        assert!(call.method() != "Whoami", "on the spot");
        async move {
            tokio::task::yield_now().await;
            assert!(call.method() != "WhoamiLater", "later");
            Ok(())
        }
    };
    let desk = Fixture::new(Server::builder().authorize(check));
    let client = dial(&desk.server).await;
    for (method, text) in [("Desk.Whoami", "on the spot"), ("Desk.WhoamiLater", "later")] {
        let error = soon(client.call::<_, String>(method, &())).await.unwrap_err();
        let told = matches!(&error, Error::Server(told) if told.ends_with(text));
        assert!(told, "{error:?}");
    }
    let error = soon(client.call::<_, i64>("Desk.Panics", &())).await.unwrap_err();
    assert!(matches!(&error, Error::Panicked(text) if text == "at the desk"), "{error:?}");
    assert_eq!(soon(client.call::<_, i64>("Desk.Add", &(1, 2))).await.unwrap(), 3);
}

/// Never lets a `Whoami` pass.
async fn endless(call: CallInfo) -> Result<(), Fault> {
    if call.method() == "Whoami" {
        return pending().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_check_that_never_ends_is_ended_by_the_deadline() {
    let desk = Fixture::new(Server::builder().authorize(endless));
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = desk.server.clone();
    tokio::spawn(async move { server.serve_conn(theirs).await });
    let mut raw = Raw::new(ours);
    raw.greet().await;
    let deadline = Some(Duration::from_secs(1));
    let fields = RequestFields { deadline, metadata: None };
    raw.send(&request_with(1, "Desk.Whoami", &fields, &encoded(&()))).await;
    let begun = tokio::time::Instant::now();
    let (code, _) = raw.fault(1).await;
    assert_eq!(code, FaultCode::Expired, "it has not run, and that is a promise");
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert_eq!(desk.began(), 0);
}

#[tokio::test]
async fn a_check_that_never_ends_keeps_its_slot_until_its_caller_gives_up() {
    let desk = Fixture::new(Server::builder().max_calls(1).authorize(endless));
    let client = dial(&desk.server).await;
    let stuck = client.go::<_, String>("Desk.Whoami", &());
    let mut next = client.go::<_, i64>("Desk.Add", &(1, 2));
    settle().await;
    assert!(common::poll_once(&mut next).await.is_pending(), "there is one slot");
    drop(stuck);
    assert_eq!(soon(next).await.unwrap(), 3);
    assert_eq!(desk.began(), 1);
}

#[tokio::test]
async fn a_call_whose_check_waits_holds_up_no_other() {
    let gate = Arc::new(Semaphore::new(0));
    let opens = gate.clone();
    let check = move |call: CallInfo| {
        let gate = gate.clone();
        async move {
            if call.method() == "Whoami" {
                gate.acquire().await.unwrap().forget();
            }
            Ok(())
        }
    };
    let desk = Fixture::new(Server::builder().authorize(check));
    let client = dial(&desk.server).await;
    let waits = client.go::<_, String>("Desk.Whoami", &());
    for n in 0..100 {
        assert_eq!(soon(client.call::<_, i64>("Desk.Add", &(n, 1))).await.unwrap(), n + 1);
    }
    opens.add_permits(1);
    assert_eq!(soon(waits).await.unwrap(), "nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nor_does_one_whose_check_holds_its_thread() {
    let (open, opened) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel::<()>();
    let opened = Mutex::new(opened);
    let check = move |call: CallInfo| {
        if call.method() == "Whoami" {
            tell.send(()).unwrap();
            opened.lock().unwrap().recv().unwrap();
        }
        async { Ok(()) }
    };
    let desk = Fixture::new(Server::builder().authorize(check));
    let client = dial(&desk.server).await;
    let waits = client.go::<_, String>("Desk.Whoami", &());
    tokio::task::spawn_blocking(move || told.recv().unwrap()).await.unwrap();
    assert_eq!(soon(client.call::<_, i64>("Desk.Add", &(1, 2))).await.unwrap(), 3);
    open.send(()).unwrap();
    assert_eq!(soon(waits).await.unwrap(), "nobody");
}

#[tokio::test]
async fn a_handler_that_cannot_be_stopped_keeps_the_slot_of_a_call_that_was_given_up() {
    for method in ["Desk.GatedToTheEnd", "Desk.Held"] {
        let check = |_| async { Ok(()) };
        let desk = Fixture::new(Server::builder().max_calls(1).authorize(check));
        let mut raw = Raw::dial(listen(&desk.server).await).await;
        raw.request(1, method, &encoded(&())).await;
        while desk.began() == 0 {
            tokio::task::yield_now().await;
        }
        let mut out = Vec::new();
        wire::write_cancel(&mut out, 1);
        out.extend(request(2, "Desk.Add", &encoded(&(1, 2))));
        raw.send(&out).await;
        assert_eq!(soon(raw.fault(1)).await.0, FaultCode::Cancelled, "{method}");
        // Where the slot is free, the next call's answer is behind this one, before any pong.
        out.clear();
        wire::write_ping(&mut out, 7);
        raw.send(&out).await;
        let frame = soon(raw.frame()).await.unwrap();
        assert_eq!((frame.kind, frame.seq), (Kind::Pong, 7), "{method}");
        assert_eq!(desk.ended(), 0);
        match method {
            "Desk.Held" => desk.pass.send(()).unwrap(),
            _ => desk.gate.add_permits(1),
        }
        assert_eq!(soon(raw.reply::<i64>(2)).await, 3, "{method}");
        assert_eq!(desk.ended(), 1, "{method}: to its end");
    }
}

#[tokio::test]
async fn an_asynchronous_handler_ends_with_its_call() {
    let desk = Fixture::new(Server::builder().max_calls(1).authorize(by_token));
    let ada = with_token(&dial(&desk.server).await, "ada");
    let given_up = ada.go::<_, i64>("Desk.Gated", &());
    while desk.began() == 0 {
        settle().await;
    }
    drop(given_up);
    assert_eq!(soon(ada.call::<_, i64>("Desk.Add", &(1, 2))).await.unwrap(), 3);
    assert_eq!(desk.ended(), 0, "it was dropped");
}

#[cfg(feature = "go")]
mod foreign {
    use netrpc::Wire;

    use super::*;

    fn go_client(server: &Server, wire: Wire) -> Client {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let server = server.clone();
        tokio::spawn(async move { server.serve_conn(theirs).await });
        Client::builder().wire(wire).connect(ours)
    }

    #[tokio::test]
    async fn go_programs_are_checked_too_and_get_the_reason_as_text() {
        let check = |call: CallInfo| async move {
            assert!(call.metadata().is_empty() && call.protocol() != Protocol::Native);
            match call.full_name() {
                "Desk.Add" => Ok(User(call.protocol().to_string())),
                name => Err(Fault::denied(format!("not {name}, please"))),
            }
        };
        let desk = Fixture::new(Server::builder().authorize(check));
        for wire in [Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc] {
            let client = go_client(&desk.server, wire);
            let error = whoami(&client).await.unwrap_err();
            let text = error.fault().map(|fault| fault.message());
            assert_eq!(text, Some("not Desk.Whoami, please"), "{wire:?}");
            let error = soon(client.call::<_, i64>("Desk.Nope", &())).await.unwrap_err();
            let text = error.fault().map(|fault| fault.message());
            assert_eq!(text, Some("not Desk.Nope, please"), "{wire:?}: nor is that told");
            if wire == Wire::JsonRpc {
                // The others have no tuples.
                let sum: i64 = soon(client.call("Desk.Add", &(1, 2))).await.unwrap();
                assert_eq!(sum, 3);
            }
        }
    }
}

#[tokio::test]
async fn a_server_without_checks_knows_nobody() {
    let desk = Fixture::new(Server::builder());
    assert_eq!(whoami(&with_token(&pipe(&desk.server), "ada")).await.unwrap(), "nobody");
}
