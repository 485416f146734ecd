//! The cases about calls and connections of our client, with a Go server on the other side.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{
    future::{BoxFuture, join_all, try_join_all},
    stream::{FuturesUnordered, StreamExt},
};
use netrpc::{CallOptions, Client, Disconnected, Error, Refusal, blocking};
use tokio::sync::oneshot;

use super::{
    client::{Conn, Target},
    matrix::Protocol,
    services::ArithClient,
    text::{digest, noise},
    types::{Args, List, Record, Reply, Wrong},
    values::{self, record},
};

/// A case of our client.
pub type Case = fn(Target) -> BoxFuture<'static, Result<()>>;

type ValueCase = fn(Conn) -> BoxFuture<'static, Result<()>>;

macro_rules! table {
    ($($name:literal: $function:path,)*) => {
        &[$(($name, |on| Box::pin($function(on)))),*]
    };
}

const VALUES: &[(&str, ValueCase)] = table! {
    "bool": values::bools,
    "signed-integers": values::signed_integers,
    "unsigned-integers": values::unsigned_integers,
    "floats": values::floats,
    "floats-not-finite": values::floats_not_finite,
    "strings": values::string_values,
    "bytes": values::byte_values,
    "named-types": values::named_types,
    "slices": values::slices,
    "arrays": values::arrays,
    "maps": values::maps,
    "maps-odd-keys": values::maps_odd_keys,
    "nested-structs": values::nested_structs,
    "embedded-as-field": values::embedded_as_field,
    "embedded-flattened": values::embedded_flattened,
    "pointers": values::pointers,
    "pointers-to-zero": values::pointers_to_zero,
    "pointers-to-structs": values::pointers_to_structs,
    "pointers-in-collections": values::pointers_in_collections,
    "skipped-fields": values::skipped_fields,
    "structs-without-fields": values::structs_without_fields,
    "newtypes-of-bytes": values::newtypes_of_bytes,
    "dynamic-values": values::dynamic_values,
    "recursive-structs": values::recursive_structs,
    "fewer-fields": values::fewer_fields,
    "more-fields": values::more_fields,
    "reordered-fields": values::reordered_fields,
    "field-names": values::field_names,
    "field-names-in-rust": values::field_names_in_rust,
    "zero-values": values::zero_values,
    "every-kind-of-field": values::every_kind_of_field,
    "empty-collections": values::empty_collections,
    "empty-nested": values::empty_nested,
    "nil-replies": values::nil_replies,
    "nothing": values::nothing,
    "arrays-are-tuples": values::arrays_are_tuples,
    "structs-are-tuples": values::structs_are_tuples,
    "string-constants": values::string_constants,
    "integer-constants": values::integer_constants,
    "sum-types": values::sum_types,
    "interfaces-in-replies": values::interfaces_in_replies,
    "time": values::times,
    "complex-numbers": values::complex,
    "a-type-that-marshals": values::marshals_itself,
    "long-collections": values::long_collections,
    "widths-of-integers": values::widths_of_integers,
    "overflowing-integers": values::overflowing_integers,
    "a-string-not-in-utf-8": values::string_not_in_utf8,
};

/// Those that need one connection.
const CALLS: &[(&str, ValueCase)] = table! {
    "go's-own-test": go_test_rpc,
    "typed-stub": typed_stub,
    "handler-errors": handler_errors,
    "empty-error-text": empty_error_text,
    "unknown-names": unknown_names,
    "bad-arguments": bad_arguments,
    "arguments-without-a-field": arguments_without_a_field,
    "a-reply-of-another-type": reply_of_another_type,
    "100-in-flight-reversed": in_flight_reversed,
    "100-in-flight-sleeping": in_flight_sleeping,
    "many-callers": many_callers,
    "16-mib-each-way": large,
    "too-deep": too_deep,
    "after-close": after_close,
    "timeout": timeout,
    "dropped-calls": dropped_calls,
    "metadata": metadata,
};

/// Those that need more than that.
const CONNECTIONS: &[(&str, Case)] = table! {
    "all-values-on-a-connection": all_values_on_a_connection,
    "more-than-may-wait": more_than_may_wait,
    "over-the-limit": over_the_limit,
    "half-close": half_close,
    "server-restart": server_restart,
    "client-goes-away": client_goes_away,
    "crowd": crowd,
    "blocking-client": blocking_client,
    "http-other-path": http_other_path,
    "http-wrong-path": http_wrong_path,
};

/// Runs a case.
pub async fn run(name: &str, target: Target) -> Result<()> {
    fn find<C: Copy>(table: &[(&str, C)], name: &str) -> Option<C> {
        table.iter().find(|(known, _)| *known == name).map(|(_, case)| *case)
    }
    if let Some(case) = find(VALUES, name).or_else(|| find(CALLS, name)) {
        return case(target.dial().await?).await;
    }
    let case = find(CONNECTIONS, name).context("there is no such case")?;
    case(target).await
}

/// `TestRPC` of Go's package.
async fn go_test_rpc(c: Conn) -> Result<()> {
    let args = Args { a: 7, b: 8 };
    c.expect("Arith.Add", &args, &Reply { c: 15 }).await?;
    c.refused("Arith.BadOperation", &args, "rpc: can't find method Arith.BadOperation").await?;
    c.refused("Arith.Unknown", &args, "rpc: can't find method Arith.Unknown").await?;
    // Out of order.
    let mul = c.client.go::<_, Reply>("Arith.Mul", &args);
    let add = c.client.go::<_, Reply>("Arith.Add", &args);
    ensure!(add.await?.c == 15 && mul.await?.c == 56);
    c.refused("Arith.Div", &Args { a: 7, b: 0 }, "divide by zero").await?;
    c.expect("Arith.Div", &Args { a: 7, b: 2 }, &Reply { c: 3 }).await?;
    c.expect("Arith.Scan", "123", &Reply { c: 123 }).await?;
    c.expect("Arith.String", &args, &"7+8=15".to_owned()).await?;
    c.expect("Arith.Mul", &args, &Reply { c: 56 }).await?;
    c.expect("Arith.Multiply", &args, &56i64).await?;
    c.expect("net.rpc.Arith.Add", &args, &Reply { c: 15 }).await
}

/// The stub of our own service calls Go's.
async fn typed_stub(c: Conn) -> Result<()> {
    let arith = ArithClient::new(c.client.clone());
    ensure!(arith.multiply(&Args { a: 7, b: 8 }).await? == 56);
    ensure!(arith.multiply_go(&Args { a: 7, b: -8 }).await? == -56);
    ensure!(arith.scan("123").await?.c == 123);
    let error = arith.div(&Args { a: 7, b: 0 }).await.expect_err("by zero");
    ensure!(error.to_string() == "divide by zero", "{error}");
    let named = ArithClient::with_name(c.client, "net.rpc.Arith");
    ensure!(named.string(&Args { a: 7, b: 8 }).await? == "7+8=15");
    Ok(())
}

async fn handler_errors(c: Conn) -> Result<()> {
    let long = "long ".repeat(2000);
    for message in ["x", "not found: ключ", "two\nlines", "\"quoted\" \\", "<&>", &long] {
        c.refused("Faults.Fail", message, message).await?;
    }
    Ok(())
}

/// To Go's server it is no error.
async fn empty_error_text(c: Conn) -> Result<()> {
    c.expect("Faults.Fail", "", &"not to be seen".to_owned()).await?;
    c.alive().await
}

async fn unknown_names(c: Conn) -> Result<()> {
    for (method, want) in [
        ("NoDot", "rpc: service/method request ill-formed: NoDot"),
        (".", "rpc: can't find service ."),
        (".M", "rpc: can't find service .M"),
        ("Nope.M", "rpc: can't find service Nope.M"),
        ("arith.Add", "rpc: can't find service arith.Add"),
        ("net.rpc.Nope.Add", "rpc: can't find service net.rpc.Nope.Add"),
        ("Arith.", "rpc: can't find method Arith."),
        ("Arith.Nope", "rpc: can't find method Arith.Nope"),
        ("Arith.Nöpe", "rpc: can't find method Arith.Nöpe"),
    ] {
        c.refused(method, &Args { a: 7, b: 8 }, want).await?;
    }
    // This one is never sent.
    let error = c.client.call::<_, Reply>("", &Args::default()).await.err();
    let Some(Error::Refused { refusal: Refusal::IllFormed, message }) = error else {
        bail!("{error:?}");
    };
    ensure!(message == "rpc: service/method request ill-formed: ", "{message}");
    c.alive().await
}

async fn bad_arguments(c: Conn) -> Result<()> {
    c.refused("Arith.Add", "seven and eight", "").await?;
    c.refused("Arith.Scan", &Args { a: 7, b: 8 }, "").await?;
    c.refused("Ages.Echo", &vec!["a".to_owned()], "").await?;
    c.refused("Bool.Echo", "true", "").await
}

/// To gob that is an error, to the others all zeros.
async fn arguments_without_a_field(c: Conn) -> Result<()> {
    let wrong = Wrong { x: "x".to_owned() };
    if c.protocol.is_gob() {
        return c.refused("Arith.Add", &wrong, "").await;
    }
    c.expect("Arith.Add", &wrong, &Reply { c: 0 }).await
}

/// It is an error of its call alone, where Go's own client would give up the connection.
async fn reply_of_another_type(c: Conn) -> Result<()> {
    let key = c.key("another");
    let waits = c.client.go::<_, String>("Gate.Wait", &key);
    let error = c.client.call::<_, String>("Arith.Add", &Args { a: 7, b: 8 }).await.err();
    ensure!(matches!(error, Some(Error::Decode(_))), "{error:?}");
    let error = c.client.call::<_, Reply>("String.Echo", "text").await.err();
    ensure!(matches!(error, Some(Error::Decode(_))), "{error:?}");
    c.expect("Gate.Open", key.as_str(), &()).await?;
    ensure!(waits.await? == key);
    c.alive().await
}

/// 100 calls finish in exactly the opposite order.
async fn in_flight_reversed(c: Conn) -> Result<()> {
    const CALLS: i64 = 100;
    let prefix = c.key("reversed");
    let keys: Vec<String> = (0..CALLS).map(|i| format!("{prefix}{i}")).collect();
    let mut calls: FuturesUnordered<_> =
        keys.iter().map(|key| c.client.go::<_, String>("Gate.Wait", key)).collect();
    c.waiting(&prefix, CALLS..=CALLS).await?;
    for key in keys.iter().rev() {
        c.expect("Gate.Open", key.as_str(), &()).await?;
        let first = calls.next().await.context("a call for each key")??;
        ensure!(first == *key, "{first} ended before {key}");
    }
    Ok(())
}

/// The same by the clock: the earlier a call, the longer it takes.
async fn in_flight_sleeping(c: Conn) -> Result<()> {
    let sleep = |i: i64| {
        let call = c.client.go::<_, i64>("Slow.Sleep", &(i * 200));
        async move {
            let slept = call.await?;
            ensure!(slept == i * 200, "{slept} µs instead of {}", i * 200);
            Ok(())
        }
    };
    try_join_all((1..=100).rev().map(sleep)).await?;
    Ok(())
}

/// Many calls of all kinds by one caller.
pub async fn busy(c: &Conn, caller: i64, calls: i64) -> Result<()> {
    for i in 0..calls {
        let text = format!("{caller} {i}");
        match i % 4 {
            0 => c.expect("Arith.Multiply", &Args { a: caller, b: i }, &(caller * i)).await?,
            1 => c.expect("String.Echo", text.as_str(), &text).await?,
            2 => c.expect::<Record, Record>("Record.Echo", &record(), &record()).await?,
            _ => {
                let error = c.client.call::<_, String>("Faults.Fail", &text).await.err();
                let Some(error) = error else { bail!("Faults.Fail succeeds") };
                ensure!(error.to_string() == text, "{}", error.chain());
            }
        }
    }
    Ok(())
}

async fn many_callers(c: Conn) -> Result<()> {
    let caller = |caller| {
        let c = c.clone();
        tokio::spawn(async move { busy(&c, caller, 40).await })
    };
    for ended in join_all((0..32).map(caller)).await {
        ended??;
    }
    Ok(())
}

/// All cases about values at the same time on one connection, so that types are described in every order.
async fn all_values_on_a_connection(target: Target) -> Result<()> {
    let c = target.dial().await?;
    let those = VALUES.iter().filter(|(name, _)| target.cases.contains(name));
    let runs = those.map(|(name, case)| {
        let run = tokio::spawn(case(c.clone()));
        async move { run.await?.context(*name) }
    });
    let runs = try_join_all(runs).await?;
    ensure!(runs.len() > 20, "only {} cases about values are to be run", runs.len());
    Ok(())
}

async fn large(c: Conn) -> Result<()> {
    const SIZE: usize = 16 << 20;
    let sent = noise(SIZE);
    let counted: String = c.client.call("Blob.Digest", &sent).await?;
    ensure!(counted == digest(&sent), "{counted}");
    let made: Vec<u8> = c.client.call("Blob.Make", &(SIZE as i64)).await?;
    ensure!(made == sent, "{} bytes", made.len());
    c.alive().await
}

/// Many calls with long arguments wait for a gate that is opened over another connection.
async fn more_than_may_wait(target: Target) -> Result<()> {
    let (waits, opens) = (target.dial().await?, target.dial().await?);
    let key = format!("{}{}", waits.key("more"), "x".repeat(4000));
    let calls: Vec<_> =
        (0..1000).map(|_| waits.client.go::<_, String>("Gate.Wait", &key)).collect();
    opens.waiting(&key, 200..).await?;
    opens.expect("Gate.Open", key.as_str(), &()).await?;
    for call in calls {
        ensure!(call.await? == key);
    }
    waits.alive().await
}

/// What is too long for this side is an error of its call alone.
async fn over_the_limit(target: Target) -> Result<()> {
    const LIMIT: u32 = 10_000;
    let client = match target.protocol {
        Protocol::Http => Client::builder().max_frame(LIMIT).dial_http(target.addr).await?,
        _ => target.builder().max_frame(LIMIT).dial(target.addr).await?,
    };
    let c = Conn { client, protocol: target.protocol };
    c.alive().await?;
    let error = c.client.call::<_, String>("Blob.Digest", &noise(20_000)).await.err();
    ensure!(matches!(error, Some(Error::TooLarge(_))), "{error:?}");
    let key = c.key("limit");
    let waits = c.client.go::<_, String>("Gate.Wait", &key);
    let error = c.client.call::<_, Vec<u8>>("Blob.Make", &20_000i64).await.err();
    ensure!(matches!(error, Some(Error::ReplyLost(_))), "{error:?}");
    c.alive().await?;
    c.expect("Gate.Open", key.as_str(), &()).await?;
    ensure!(waits.await? == key);
    Ok(())
}

/// A list that is too long to be nested is an error of its call alone.
async fn too_deep(c: Conn) -> Result<()> {
    let list = |length| {
        let list =
            (0..length).fold(None, |tail, _| Some(Box::new(List { head: String::new(), tail })));
        *list.expect("a length")
    };
    c.expect("Tree.Length", &list(50), &50i64).await?;
    let error = c.client.call::<_, i64>("Tree.Length", &list(1000)).await.err();
    ensure!(matches!(error, Some(Error::Encode(_))), "{error:?}");
    c.expect("Tree.Listed", &50i64, &list(50)).await?;
    let error = c.client.call::<_, List>("Tree.Listed", &1000i64).await.err();
    ensure!(matches!(error, Some(Error::Decode(_))), "{error:?}");
    c.alive().await
}

/// The client is let go of while calls are on their way, and they still get their replies.
async fn half_close(target: Target) -> Result<()> {
    let (leaving, stays) = (target.dial().await?, target.dial().await?);
    let key = leaving.key("half-close");
    let calls: Vec<_> =
        (0..10).map(|_| leaving.client.go::<_, String>("Gate.Wait", &key)).collect();
    drop(leaving);
    stays.waiting(&key, 10..=10).await?;
    for _ in 0..20 {
        stays.alive().await?;
    }
    stays.expect("Gate.Open", key.as_str(), &()).await?;
    for call in calls {
        ensure!(call.await? == key);
    }
    Ok(())
}

async fn after_close(c: Conn) -> Result<()> {
    c.alive().await?;
    c.client.close().await;
    let error = c.client.call::<_, Reply>("Arith.Add", &Args { a: 7, b: 9 }).await.err();
    let Some(error) = error else { bail!("a call after close succeeds") };
    ensure!(error.to_string() == "connection is shut down" && !error.may_have_run(), "{error:?}");
    Ok(())
}

/// Go gives up nothing, so this side waits no longer, and passes over the answer when it comes.
async fn timeout(c: Conn) -> Result<()> {
    let key = c.key("timeout");
    let hasty = c.client.with(CallOptions::new().timeout(Duration::from_millis(20)));
    let error = hasty.call::<_, String>("Gate.Wait", &key).await.err();
    ensure!(matches!(error, Some(Error::Deadline { may_have_run: true })), "{error:?}");
    c.alive().await?;
    c.waiting(&key, 1..=1).await?;
    c.expect("Gate.Open", key.as_str(), &()).await?;
    c.waiting(&key, 0..=0).await?;
    c.alive().await
}

async fn dropped_calls(c: Conn) -> Result<()> {
    let key = c.key("dropped");
    let mut calls: Vec<_> = (0..20).map(|_| c.client.go::<_, String>("Gate.Wait", &key)).collect();
    c.waiting(&key, 20..=20).await?;
    let kept = calls.split_off(10);
    drop(calls);
    c.alive().await?;
    c.expect("Gate.Open", key.as_str(), &()).await?;
    for call in kept {
        ensure!(call.await? == key);
    }
    // Dropped before it is sent, if that is possible.
    drop(c.client.go::<_, i64>("Slow.Sleep", &0));
    c.waiting(&key, 0..=0).await?;
    c.alive().await
}

/// No word of Go's protocols can carry it, so it is refused here.
async fn metadata(c: Conn) -> Result<()> {
    let with = c.client.with(CallOptions::new().metadata("k", "v"));
    let error = with.call::<_, Reply>("Arith.Add", &Args { a: 7, b: 8 }).await.err();
    let refused = matches!(error, Some(Error::Refused { refusal: Refusal::Unsupported, .. }));
    ensure!(refused, "{error:?}");
    c.alive().await
}

/// The server dies in mid-call, and another one takes its place.
async fn server_restart(target: Target) -> Result<()> {
    let c = target.dial().await?;
    let key = c.key("restart");
    let calls: Vec<_> = (0..10).map(|_| c.client.go::<_, String>("Gate.Wait", &key)).collect();
    c.waiting(&key, 10..=10).await?;
    let addr = target.mortal.as_ref().context("a server that can be restarted")?.restart().await?;
    for call in calls {
        let error = call.await.err();
        let Some(Error::Shutdown { may_have_run: true, cause }) = &error else {
            bail!("a pending call: {error:?}");
        };
        ensure!(matches!(**cause, Disconnected::Eof), "{cause:?}");
        ensure!(cause.to_string().starts_with("unexpected EOF"), "{cause}");
    }
    let error = c.client.call::<_, Reply>("Arith.Add", &Args { a: 7, b: 8 }).await.err();
    ensure!(matches!(error, Some(Error::Shutdown { may_have_run: false, .. })), "{error:?}");
    ensure!(c.client.is_closed());
    Target { addr, ..target }.dial().await?.alive().await
}

/// It leaves calls behind, some in mid-flight.
async fn client_goes_away(target: Target) -> Result<()> {
    let (leaves, stays) = (target.dial().await?, target.dial().await?);
    let key = leaves.key("goes-away");
    let calls: Vec<_> =
        (0..300).map(|_| leaves.client.go::<_, String>("Gate.Wait", &key)).collect();
    stays.waiting(&key, 200..=300).await?;
    leaves.client.close().await;
    for call in calls {
        let error = call.await.err();
        let Some(Error::Shutdown { cause, .. }) = &error else { bail!("{error:?}") };
        ensure!(matches!(**cause, Disconnected::Closed), "{cause:?}");
    }
    busy(&stays, 1, 40).await?;
    stays.expect("Gate.Open", key.as_str(), &()).await?;
    stays.waiting(&key, 0..=0).await?;
    target.dial().await?.alive().await
}

/// The part of one protocol: others do the same at the same time.
async fn crowd(target: Target) -> Result<()> {
    crowd_of(|| target.dial()).await
}

/// Eight connections with four callers each.
pub async fn crowd_of<D: Future<Output = Result<Conn>>>(dial: impl Fn() -> D) -> Result<()> {
    let mut callers = Vec::new();
    for connection in 0..8 {
        let c = Arc::new(dial().await?);
        for caller in 0..4 {
            let c = c.clone();
            callers.push(tokio::spawn(async move { busy(&c, connection * 4 + caller, 50).await }));
        }
    }
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

async fn blocking_client(target: Target) -> Result<()> {
    let calls = move || {
        let client = if target.protocol == Protocol::Http {
            blocking::Client::dial_http(target.addr)?
        } else {
            blocking::Client::dial_with(target.builder(), target.addr)?
        };
        let args = Args { a: 7, b: 8 };
        let product: i64 = client.call("Arith.Multiply", &args)?;
        ensure!(product == 56, "{product}");
        let calls: Vec<_> = (0..10i64).map(|i| client.go::<_, i64>("Int64.Echo", &i)).collect();
        for (i, call) in (0..).zip(calls) {
            ensure!(call.wait()? == i);
        }
        let error = client.call::<_, Reply>("Arith.Nope", &args).expect_err("no such method");
        ensure!(error.to_string() == "rpc: can't find method Arith.Nope", "{error}");
        Ok(())
    };
    let (ended, end) = oneshot::channel();
    // A thread that is none of the runtime's, as it is meant for.
    std::thread::spawn(move || ended.send(calls()));
    end.await?
}

async fn http_other_path(target: Target) -> Result<()> {
    let client = Client::builder().dial_http_path(target.addr, "/other/rpc").await?;
    Conn { client, protocol: target.protocol }.alive().await
}

async fn http_wrong_path(target: Target) -> Result<()> {
    let error = Client::builder().dial_http_path(target.addr, "/nowhere").await.err();
    let Some(Error::Connect { cause, .. }) = &error else { bail!("{error:?}") };
    ensure!(cause.to_string().contains("404 Not Found"), "{cause}");
    Ok(())
}
