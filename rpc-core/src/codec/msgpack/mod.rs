//! MessagePack's forms, one value at a time: what every codec that speaks it reads and writes with.
//!
//! Which form a value gets is theirs to say: [`encoder`](super::encoder) and
//! [`decoder`](super::decoder) for our own bodies, `go::msgpack` for those of Go's old codecs.

pub(super) mod read;
pub(super) mod write;
