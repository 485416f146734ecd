//! Random values of random types, against Go: what we encode Go reads, and what Go then encodes we
//! read, and it is the same each time.

mod common;

use std::{collections::BTreeMap, fmt, fmt::Write as _};

use common::{Peer, Rng, Scratch, build_go, has_go};
use netrpc_gob::{Decoder, Encoder, Limits};
use serde::{
    Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap as _, SerializeSeq as _, SerializeStruct as _, SerializeTuple as _},
};

/// A type, as far as random types go.
#[derive(Clone, Debug)]
enum Type {
    Bool,
    Int(u32),
    Uint(u32),
    Float(u32),
    String,
    Bytes,
    Slice(Box<Type>),
    Array(usize, Box<Type>),
    Map(Box<Type>, Box<Type>),
    Struct(usize),
    /// Only of a field.
    Pointer(Box<Type>),
}

struct Struct {
    name: &'static str,
    /// Names in Rust.
    names: &'static [&'static str],
    types: Vec<Type>,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    String(String),
    Bytes(Vec<u8>),
    Sequence(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Struct(Vec<Value>),
    Pointer(Option<Box<Value>>),
}

struct World {
    structs: Vec<Struct>,
}

impl World {
    fn type_(&mut self, rng: &mut Rng, depth: usize, open: &[usize]) -> Type {
        let pick = if depth == 0 { rng.below(8) } else { rng.below(16) };
        match pick {
            0 => Type::Bool,
            1 | 2 => Type::Int([8, 16, 32, 64][rng.below(4)]),
            3 | 4 => Type::Uint([8, 16, 32, 64][rng.below(4)]),
            5 => Type::Float([32, 64][rng.below(2)]),
            6 => Type::String,
            7 => Type::Bytes,
            8 | 9 => match self.type_(rng, depth - 1, open) {
                Type::Uint(8) => Type::Bytes,
                element => Type::Slice(Box::new(element)),
            },
            10 => {
                let element = self.type_(rng, depth - 1, open);
                Type::Array(1 + rng.below(4), Box::new(element))
            }
            11 | 12 => {
                let key = match rng.below(4) {
                    0 => Type::Int(64),
                    1 => Type::Uint(16),
                    2 => Type::Bool,
                    _ => Type::String,
                };
                Type::Map(Box::new(key), Box::new(self.type_(rng, depth - 1, open)))
            }
            _ => Type::Struct(self.struct_(rng, depth - 1, open)),
        }
    }

    fn struct_(&mut self, rng: &mut Rng, depth: usize, open: &[usize]) -> usize {
        let index = self.structs.len();
        let name = leak(format!("T{index}"));
        self.structs.push(Struct { name, names: &[], types: Vec::new() });
        let open: Vec<usize> = open.iter().copied().chain([index]).collect();
        let count = 1 + rng.below(6);
        let types: Vec<Type> = (0..count).map(|_| self.field(rng, depth, &open)).collect();
        let names: Vec<&'static str> = (0..count)
            .map(|at| match rng.below(3) {
                0 => leak(format!("f{at}")),
                1 => leak(format!("long_name_{at}")),
                _ => leak(format!("GoName{at}")),
            })
            .collect();
        self.structs[index].types = types;
        self.structs[index].names = Vec::leak(names);
        index
    }

    fn field(&mut self, rng: &mut Rng, depth: usize, open: &[usize]) -> Type {
        // Recursion, to any of the structs that this field is in.
        if rng.one_in(6) {
            let to = Type::Struct(open[rng.below(open.len())]);
            return match rng.below(3) {
                0 => Type::Slice(Box::new(to)),
                1 => Type::Map(Box::new(Type::String), Box::new(to)),
                _ => Type::Pointer(Box::new(to)),
            };
        }
        let of = self.type_(rng, depth, open);
        match of {
            Type::Bool | Type::Int(_) | Type::Uint(_) | Type::String | Type::Struct(_)
                if rng.one_in(4) =>
            {
                Type::Pointer(Box::new(of))
            }
            of => of,
        }
    }

    /// Another version of a struct: some fields gone, some new, all in another order.
    fn version(&mut self, rng: &mut Rng, of: usize) -> Option<usize> {
        let Struct { names, types, .. } = &self.structs[of];
        let mut fields: Vec<(&'static str, Type)> =
            names.iter().copied().zip(types.iter().cloned()).collect();
        // Go refuses a struct of which it finds no field, and a field of which there has been no
        // value yet is not found; one that always has a value must stay.
        let stays = fields.iter().position(|(_, of)| {
            !matches!(of, Type::Bytes | Type::Slice(_) | Type::Map(..) | Type::Pointer(_))
        })?;
        let goes = rng.below(fields.len());
        if goes != stays {
            fields.remove(goes);
        }
        fields.push((leak(format!("added_{of}")), Type::Int(32)));
        for at in (1..fields.len()).rev() {
            fields.swap(at, rng.below(at + 1));
        }
        let index = self.structs.len();
        let (names, types): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        let name = leak(format!("T{index}"));
        self.structs.push(Struct { name, names: Vec::leak(names), types });
        Some(index)
    }

    fn go_type(&self, of: &Type) -> String {
        match of {
            Type::Bool => "bool".into(),
            Type::Int(bits) => format!("int{bits}"),
            Type::Uint(bits) => format!("uint{bits}"),
            Type::Float(bits) => format!("float{bits}"),
            Type::String => "string".into(),
            Type::Bytes => "[]byte".into(),
            Type::Slice(element) => format!("[]{}", self.go_type(element)),
            Type::Array(len, element) => format!("[{len}]{}", self.go_type(element)),
            Type::Map(key, value) => format!("map[{}]{}", self.go_type(key), self.go_type(value)),
            Type::Struct(index) => self.structs[*index].name.into(),
            Type::Pointer(of) => format!("*{}", self.go_type(of)),
        }
    }

    fn go_source(&self, types: &[Type]) -> String {
        let mut source = String::from("package main\n\nimport \"reflect\"\n\n");
        for of in &self.structs {
            writeln!(source, "type {} struct {{", of.name).unwrap();
            for (name, field) in of.names.iter().zip(&of.types) {
                let name = netrpc_gob::names::go_name(name);
                writeln!(source, "\t{name} {}", self.go_type(field)).unwrap();
            }
            writeln!(source, "}}\n").unwrap();
        }
        writeln!(source, "var types = []reflect.Type{{").unwrap();
        for of in types {
            writeln!(source, "\treflect.TypeOf((*{})(nil)).Elem(),", self.go_type(of)).unwrap();
        }
        source + "}\n"
    }

    /// `is_field`: it may be empty, because then it need not be sent.
    fn value(&self, rng: &mut Rng, of: &Type, is_field: bool, depth: usize) -> Value {
        let count = |rng: &mut Rng| match (is_field, depth) {
            (true, 0) => 0,
            (true, _) => rng.below(4),
            (false, 0) => 1,
            (false, _) => 1 + rng.below(3),
        };
        let below = depth.saturating_sub(1);
        match of {
            Type::Bool => Value::Bool(rng.one_in(2)),
            Type::Int(bits) => Value::Int(
                match rng.below(6) {
                    0 => 0,
                    1 => i64::MAX >> (64 - bits),
                    2 => i64::MIN >> (64 - bits),
                    3 => -1,
                    4 => rng.below(200) as i64 - 100,
                    _ => rng.next() as i64 >> (64 - bits),
                }
                .clamp(i64::MIN >> (64 - bits), i64::MAX >> (64 - bits)),
            ),
            Type::Uint(bits) => Value::Uint(match rng.below(5) {
                0 => 0,
                1 => u64::MAX >> (64 - bits),
                2 => 127 + rng.below(2) as u64,
                _ => rng.next() >> (64 - bits),
            }),
            Type::Float(bits) => {
                let value = match rng.below(8) {
                    0 => 0.0,
                    1 => -0.0,
                    2 => f64::NAN,
                    3 => f64::INFINITY,
                    4 => f64::NEG_INFINITY,
                    5 => f64::from(f32::MIN_POSITIVE),
                    _ => (rng.next() as i64 as f64) / 1e6,
                };
                Value::Float(if *bits == 32 { f64::from(value as f32) } else { value })
            }
            Type::String => Value::String(
                (0..rng.below(6)).map(|_| ['a', 'Z', '0', 'ß', '語', '\0'][rng.below(6)]).collect(),
            ),
            Type::Bytes => Value::Bytes((0..count(rng)).map(|_| rng.next() as u8).collect()),
            Type::Slice(element) => Value::Sequence(
                (0..count(rng)).map(|_| self.value(rng, element, false, below)).collect(),
            ),
            Type::Array(len, element) => {
                Value::Sequence((0..*len).map(|_| self.value(rng, element, false, below)).collect())
            }
            Type::Map(key, value) => {
                let mut entries = BTreeMap::new();
                for _ in 0..count(rng) {
                    let key = self.value(rng, key, false, below);
                    let value = self.value(rng, value, false, below);
                    entries.insert(format!("{key:?}"), (key, value));
                }
                Value::Map(entries.into_values().collect())
            }
            Type::Struct(index) => {
                let types = &self.structs[*index].types;
                Value::Struct(types.iter().map(|of| self.value(rng, of, true, below)).collect())
            }
            Type::Pointer(of) => Value::Pointer(
                (depth > 0 && rng.one_in(2)).then(|| Box::new(self.value(rng, of, false, below))),
            ),
        }
    }

    /// The value as the Go program describes it.
    fn describe(&self, value: &Value, out: &mut String) {
        match value {
            Value::Bool(value) => write!(out, "{value}").unwrap(),
            Value::Int(value) => write!(out, "{value}").unwrap(),
            Value::Uint(value) => write!(out, "{value}").unwrap(),
            Value::Float(value) if value.is_nan() => out.push_str("NaN"),
            Value::Float(0.0) => out.push('0'),
            Value::Float(value) => write!(out, "{:016x}", value.to_bits()).unwrap(),
            Value::String(value) => write!(out, "\"\":{}", common::hex(value.as_bytes())).unwrap(),
            Value::Bytes(bytes) => {
                out.push('[');
                bytes.iter().for_each(|byte| write!(out, "{byte},").unwrap());
                out.push(']');
            }
            Value::Sequence(elements) => {
                out.push('[');
                for element in elements {
                    self.describe(element, out);
                    out.push(',');
                }
                out.push(']');
            }
            Value::Map(entries) => {
                let mut texts: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| {
                        let mut text = String::new();
                        self.describe(key, &mut text);
                        text.push('=');
                        self.describe(value, &mut text);
                        text
                    })
                    .collect();
                texts.sort();
                write!(out, "{{{}}}", texts.join(",")).unwrap();
            }
            Value::Struct(fields) => {
                out.push('(');
                for field in fields {
                    self.describe(field, out);
                    out.push(',');
                }
                out.push(')');
            }
            Value::Pointer(None) => out.push_str("nil"),
            Value::Pointer(Some(value)) => {
                out.push('&');
                self.describe(value, out);
            }
        }
    }

    /// What is left of a value after Go has encoded it: a pointer to zero is nil.
    fn after_go(&self, value: &Value) -> Value {
        let again = |value: &Value| self.after_go(value);
        match value {
            Value::Pointer(Some(of)) => match again(of) {
                Value::Bool(false) | Value::Int(0) | Value::Uint(0) => Value::Pointer(None),
                Value::String(text) if text.is_empty() => Value::Pointer(None),
                of => Value::Pointer(Some(Box::new(of))),
            },
            Value::Sequence(elements) => Value::Sequence(elements.iter().map(again).collect()),
            Value::Struct(fields) => Value::Struct(fields.iter().map(again).collect()),
            Value::Map(entries) => {
                Value::Map(entries.iter().map(|(key, value)| (again(key), again(value))).collect())
            }
            value => value.clone(),
        }
    }

    /// A struct's value as one of another version.
    fn project(&self, value: &Value, from: usize, to: usize) -> Value {
        let Value::Struct(fields) = value else { unreachable!() };
        let (from, to) = (&self.structs[from], &self.structs[to]);
        let field = |(name, of): (&&str, &Type)| match from.names.iter().position(|n| n == name) {
            Some(at) => fields[at].clone(),
            None => self.zero(of),
        };
        Value::Struct(to.names.iter().zip(&to.types).map(field).collect())
    }

    fn zero(&self, of: &Type) -> Value {
        match of {
            Type::Bool => Value::Bool(false),
            Type::Int(_) => Value::Int(0),
            Type::Uint(_) => Value::Uint(0),
            Type::Float(_) => Value::Float(0.0),
            Type::String => Value::String(String::new()),
            Type::Bytes => Value::Bytes(Vec::new()),
            Type::Slice(_) => Value::Sequence(Vec::new()),
            Type::Array(len, of) => Value::Sequence(vec![self.zero(of); *len]),
            Type::Map(..) => Value::Map(Vec::new()),
            Type::Struct(index) => {
                Value::Struct(self.structs[*index].types.iter().map(|of| self.zero(of)).collect())
            }
            Type::Pointer(_) => Value::Pointer(None),
        }
    }
}

fn leak(text: String) -> &'static str {
    text.leak()
}

/// A value with its type.
struct Typed<'w>(&'w World, &'w Type, &'w Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Typed(world, of, value) = *self;
        match (of, value) {
            (Type::Bool, Value::Bool(value)) => serializer.serialize_bool(*value),
            (Type::Int(8), Value::Int(value)) => serializer.serialize_i8(*value as i8),
            (Type::Int(16), Value::Int(value)) => serializer.serialize_i16(*value as i16),
            (Type::Int(32), Value::Int(value)) => serializer.serialize_i32(*value as i32),
            (Type::Int(_), Value::Int(value)) => serializer.serialize_i64(*value),
            (Type::Uint(8), Value::Uint(value)) => serializer.serialize_u8(*value as u8),
            (Type::Uint(16), Value::Uint(value)) => serializer.serialize_u16(*value as u16),
            (Type::Uint(32), Value::Uint(value)) => serializer.serialize_u32(*value as u32),
            (Type::Uint(_), Value::Uint(value)) => serializer.serialize_u64(*value),
            (Type::Float(32), Value::Float(value)) => serializer.serialize_f32(*value as f32),
            (Type::Float(_), Value::Float(value)) => serializer.serialize_f64(*value),
            (Type::String, Value::String(value)) => serializer.serialize_str(value),
            (Type::Bytes, Value::Bytes(value)) => value.serialize(serializer),
            (Type::Slice(of), Value::Sequence(elements)) => {
                let mut seq = serializer.serialize_seq(Some(elements.len()))?;
                for element in elements {
                    seq.serialize_element(&Typed(world, of, element))?;
                }
                seq.end()
            }
            (Type::Array(len, of), Value::Sequence(elements)) => {
                let mut tuple = serializer.serialize_tuple(*len)?;
                for element in elements {
                    tuple.serialize_element(&Typed(world, of, element))?;
                }
                tuple.end()
            }
            (Type::Map(key, of), Value::Map(entries)) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (k, v) in entries {
                    map.serialize_entry(&Typed(world, key, k), &Typed(world, of, v))?;
                }
                map.end()
            }
            (Type::Struct(index), Value::Struct(fields)) => {
                let of = &world.structs[*index];
                let mut out = serializer.serialize_struct(of.name, fields.len())?;
                for ((name, of), field) in of.names.iter().zip(&of.types).zip(fields) {
                    out.serialize_field(name, &Typed(world, of, field))?;
                }
                out.end()
            }
            (Type::Pointer(_), Value::Pointer(None)) => serializer.serialize_none(),
            (Type::Pointer(of), Value::Pointer(Some(value))) => {
                serializer.serialize_some(&Typed(world, of, value))
            }
            _ => unreachable!("{value:?} is no {of:?}"),
        }
    }
}

/// How to read a value of a type.
#[derive(Clone, Copy)]
struct Seed<'w>(&'w World, &'w Type);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.1 {
            Type::Bool => deserializer.deserialize_bool(self),
            Type::Int(8) => deserializer.deserialize_i8(self),
            Type::Int(16) => deserializer.deserialize_i16(self),
            Type::Int(32) => deserializer.deserialize_i32(self),
            Type::Int(_) => deserializer.deserialize_i64(self),
            Type::Uint(8) => deserializer.deserialize_u8(self),
            Type::Uint(16) => deserializer.deserialize_u16(self),
            Type::Uint(32) => deserializer.deserialize_u32(self),
            Type::Uint(_) => deserializer.deserialize_u64(self),
            Type::Float(32) => deserializer.deserialize_f32(self),
            Type::Float(_) => deserializer.deserialize_f64(self),
            Type::String => deserializer.deserialize_str(self),
            Type::Bytes => deserializer.deserialize_bytes(self),
            Type::Slice(_) => deserializer.deserialize_seq(self),
            Type::Array(len, _) => deserializer.deserialize_tuple(*len, self),
            Type::Map(..) => deserializer.deserialize_map(self),
            Type::Struct(index) => {
                let Struct { name, names, .. } = self.0.structs[*index];
                deserializer.deserialize_struct(name, names, self)
            }
            Type::Pointer(_) => deserializer.deserialize_option(self),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.1)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(match self.1 {
            Type::Int(_) => Value::Int(value as i64),
            _ => Value::Uint(value),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.into()))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Pointer(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Type::Pointer(of) = self.1 else { unreachable!() };
        let value = Seed(self.0, of).deserialize(deserializer)?;
        Ok(Value::Pointer(Some(Box::new(value))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let (Type::Slice(of) | Type::Array(_, of)) = self.1 else {
            return Err(de::Error::custom("a sequence"));
        };
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(Seed(self.0, of))? {
            elements.push(element);
        }
        Ok(Value::Sequence(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        match self.1 {
            Type::Map(key, value) => {
                let mut entries = BTreeMap::new();
                while let Some(key) = access.next_key_seed(Seed(self.0, key))? {
                    let value = access.next_value_seed(Seed(self.0, value))?;
                    entries.insert(format!("{key:?}"), (key, value));
                }
                Ok(Value::Map(entries.into_values().collect()))
            }
            Type::Struct(index) => {
                let of = &self.0.structs[*index];
                let mut fields: Vec<Option<Value>> = vec![None; of.names.len()];
                while let Some(name) = access.next_key::<String>()? {
                    match of.names.iter().position(|known| *known == name) {
                        Some(at) => {
                            let seed = Seed(self.0, &of.types[at]);
                            let value = access.next_value_seed(seed)?;
                            if fields[at].replace(value).is_some() {
                                return Err(de::Error::duplicate_field(of.names[at]));
                            }
                        }
                        None => drop(access.next_value::<de::IgnoredAny>()?),
                    }
                }
                let missing = |(value, name): (Option<Value>, &&'static str)| {
                    value.ok_or_else(|| de::Error::missing_field(name))
                };
                let fields: Result<_, _> = fields.into_iter().zip(of.names).map(missing).collect();
                Ok(Value::Struct(fields?))
            }
            _ => Err(de::Error::custom("a map")),
        }
    }
}

fn text(world: &World, values: &[Value]) -> String {
    let mut text = String::new();
    for value in values {
        world.describe(value, &mut text);
        text.push('\n');
    }
    text
}

fn decode(world: &World, of: &Type, count: usize, stream: &[u8]) -> Vec<Value> {
    let mut decoder = Decoder::new(Limits::new());
    let mut buf = bytes::BytesMut::from(stream);
    let mut values = Vec::new();
    while let Some(message) = decoder.next(&mut buf).expect("a good stream") {
        let netrpc_gob::Message::Value { bytes, .. } = message else { panic!("{message:?}") };
        let value = decoder.types().decode_seed(&bytes, Seed(world, of));
        values.push(value.unwrap_or_else(|error| {
            panic!("{error:?} in {of:?}: {}", common::hex(&bytes));
        }));
    }
    assert!(buf.is_empty());
    assert_eq!(values.len(), count);
    values
}

#[test]
fn go_reads_what_we_write_and_we_read_what_go_writes() {
    if !has_go("the differential test") {
        return;
    }
    let seed = std::env::var("NETRPC_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut rng = Rng(seed);
    let mut world = World { structs: Vec::new() };
    let mut types = Vec::new();
    // The type of the values, and that as which Go reads them, as places in `types`.
    let mut cases = Vec::new();
    for _ in 0..300 {
        let of = world.type_(&mut rng, 4, &[]);
        cases.push((types.len(), types.len()));
        let version = match &of {
            Type::Struct(index) => world.version(&mut rng, *index),
            _ => None,
        };
        types.push(of);
        if let Some(version) = version {
            cases.push((types.len() - 1, types.len()));
            types.push(Type::Struct(version));
        }
    }

    let scratch = Scratch::new("differential");
    std::fs::write(scratch.0.join("types.go"), world.go_source(&types)).expect("a file");
    let mut peer = Peer::start(&build_go(&scratch.0, "differential.go"));

    let (mut values_seen, mut bytes_seen) = (0, 0);
    for (from, to) in cases {
        let (of, as_) = (&types[from], &types[to]);
        // Several on one stream, of which the later ones may know more types.
        let values: Vec<Value> = (0..6).map(|n| world.value(&mut rng, of, false, n)).collect();
        let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
        for value in &values {
            encoder.encode(&Typed(&world, of, value), &mut stream).expect("it can be encoded");
        }
        assert_eq!(text(&world, &decode(&world, of, 6, &stream)), text(&world, &values));

        let expected: Vec<Value> = match (of, as_) {
            (Type::Struct(a), Type::Struct(b)) if a != b => {
                values.iter().map(|value| world.project(value, *a, *b)).collect()
            }
            _ => values,
        };
        peer.send(&[to as u32, 6], &stream);
        let described = String::from_utf8(peer.receive()).expect("text");
        let encoded = peer.receive();
        assert_eq!(
            described,
            text(&world, &expected),
            "Go read {as_:?} ({}) of {}",
            world.go_type(as_),
            common::hex(&stream)
        );

        let expected: Vec<Value> = expected.iter().map(|value| world.after_go(value)).collect();
        let decoded = decode(&world, as_, 6, &encoded);
        assert_eq!(text(&world, &decoded), text(&world, &expected));
        // The other version again.
        if let (Type::Struct(a), Type::Struct(b)) = (as_, of) {
            let expected: Vec<Value> =
                expected.iter().map(|value| world.project(value, *a, *b)).collect();
            let decoded = decode(&world, of, 6, &encoded);
            assert_eq!(text(&world, &decoded), text(&world, &expected));
        }
        values_seen += 6;
        bytes_seen += stream.len() + encoded.len();
    }
    println!("{values_seen} values of {} types, {bytes_seen} bytes", types.len());
}
