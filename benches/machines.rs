//! What the parts of a call cost on their own, without a socket.
//!
//! `cargo bench --bench machines`

use std::{hint::black_box, sync::Arc, task::Waker};

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use netrpc::{CallId, Cancellation, Context, Metadata, Peer, service};
use netrpc_core::{
    codec,
    pending::Pending,
    service::{Body, EntryHandler, Registry, ReplyBuf},
    wire::{self, FrameDecoder, Kind, RequestFields, RequestHead},
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Args {
    a: i64,
    b: i64,
}

struct Arith;

#[service]
impl Arith {
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }
}

fn request(out: &mut Vec<u8>, seq: u64) {
    let start = wire::begin(out);
    let fields = RequestFields::default();
    let head = wire::write_request_head(out, "Arith.Multiply", &fields).expect("it fits");
    codec::encode(out, &Args { a: 7, b: 8 }).expect("it can be encoded");
    wire::finish(out, start, Kind::Request, head, seq, 1 << 20).expect("it fits");
}

fn codecs(c: &mut Criterion) {
    let mut out = Vec::new();
    c.bench_function("codec: encode arguments", |b| {
        b.iter(|| {
            out.clear();
            codec::encode(&mut out, black_box(&Args { a: 7, b: 8 }))
        });
    });
    c.bench_function("codec: decode arguments", |b| {
        b.iter(|| codec::decode::<Args>(black_box(&out)).map(|args| args.a));
    });
}

fn frames(c: &mut Criterion) {
    let mut out = Vec::new();
    c.bench_function("wire: write a request", |b| {
        b.iter(|| {
            out.clear();
            request(&mut out, black_box(7));
        });
    });
    let mut batch = Vec::new();
    (0..64).for_each(|seq| request(&mut batch, seq));
    let mut decoder = FrameDecoder::new(1 << 20);
    c.bench_function("wire: read 64 requests", |b| {
        b.iter_batched_ref(
            || BytesMut::from(&batch[..]),
            |input| {
                while let Ok(Some(wire::Incoming::Frame(frame))) = decoder.next(input) {
                    black_box(RequestHead::parse(frame.head()).is_ok());
                }
            },
            criterion::BatchSize::SmallInput,
        );
    });
}

fn dispatch(c: &mut Criterion) {
    let registry = Registry::new();
    for n in 0..64 {
        registry.register(&format!("Arith{n}"), &Arc::new(Arith)).expect("a new name");
    }
    let table = registry.snapshot();
    c.bench_function("service: find among 128 names", |b| {
        b.iter(|| table.find(black_box("Arith7.Multiply")).is_ok());
    });
    let entry = table.find("Arith7.Multiply").expect("it is there");
    let EntryHandler::Sync(handler) = entry.handler() else { panic!("it is synchronous") };
    let now = std::time::Instant::now;
    let id = CallId { connection: 1, seq: 1 };
    let (caller, cancellation) = (Arc::new(Peer::Stream.into()), Cancellation::new());
    let cx = Context::new(id, caller, None, Metadata::new(), cancellation, now);
    let mut args = Vec::new();
    codec::encode(&mut args, &Args { a: 7, b: 8 }).expect("it can be encoded");
    let body = Body::new(bytes::Bytes::from(args), codec::Format::MessagePack);
    let mut reply = ReplyBuf::new(Vec::new(), codec::Format::MessagePack);
    c.bench_function("service: call a synchronous handler", |b| {
        b.iter(|| {
            reply.bytes_mut().clear();
            handler.call(&cx, &body, &mut reply)
        });
    });
}

fn pending(c: &mut Criterion) {
    let mut table = Pending::<u64>::new();
    let others: Vec<_> = (0..64).map(|_| table.begin().expect("open")).collect();
    let mut wakers = Vec::new();
    c.bench_function("pending: begin, wait, answer, take", |b| {
        b.iter(|| {
            let seq = table.begin().expect("open");
            table.queued(seq, 1, None);
            let _ = table.poll(seq, Waker::noop());
            table.resolve(seq, 7, &mut wakers);
            wakers.clear();
            table.poll(seq, Waker::noop())
        });
    });
    drop(others);
}

criterion_group!(benches, codecs, frames, dispatch, pending);
criterion_main!(benches);
