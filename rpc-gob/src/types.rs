//! The types that an incoming stream has defined.

use std::sync::{Arc, OnceLock};

use crate::{
    error::{DecodeError, StreamError},
    names,
    shape::{Marshaler, same},
    wire::{self, FIRST_DEFINED, Reader},
};

/// The most fields that a struct may have.
const MAX_FIELDS: usize = 8192;

/// The types that a stream has defined so far.
///
/// A [`Decoder`](crate::Decoder) shares them, so that a value can be decoded on another thread
/// while the stream goes on. What the decoder learns later is not in what was shared before, and is
/// not needed for the values that came before.
///
/// ```
/// use netrpc_gob::{Decoder, Limits, Message, to_vec};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// struct Args { a: i64, b: i64 }
///
/// let mut decoder = Decoder::new(Limits::new());
/// let mut buf = bytes::BytesMut::from(to_vec(&Args { a: 7, b: 8 })?.as_slice());
/// let Some(Message::Value { bytes, .. }) = decoder.next(&mut buf)? else { panic!("no value") };
/// let types = decoder.types().clone();
/// let args = std::thread::spawn(move || types.decode::<Args>(&bytes)).join().expect("no panic")?;
/// assert_eq!(args, Args { a: 7, b: 8 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// By their ids.
    defined: Vec<(i32, Arc<Type>)>,
    /// Some type contains an interface, whose values may hold definitions.
    pub(crate) has_interface: bool,
}

impl Types {
    /// How many types there are, besides those that every stream has.
    ///
    /// ```
    /// assert_eq!(netrpc_gob::Types::default().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.defined.len()
    }

    /// Whether the stream has defined nothing yet.
    ///
    /// ```
    /// assert!(netrpc_gob::Types::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.defined.is_empty()
    }

    #[inline]
    fn find(&self, id: i32) -> Result<usize, usize> {
        // Ids are often consecutive.
        if let Some((first, _)) = self.defined.first()
            && let Ok(at) = usize::try_from(i64::from(id) - i64::from(*first))
            && self.defined.get(at).is_some_and(|(known, _)| *known == id)
        {
            return Ok(at);
        }
        self.defined.binary_search_by_key(&id, |(id, _)| *id)
    }

    pub(crate) fn define(&mut self, id: i32, definition: Type) -> Result<(), StreamError> {
        if id < FIRST_DEFINED {
            return Err(StreamError::Malformed("a definition of a type that is built in"));
        }
        match self.find(id) {
            Ok(_) => Err(StreamError::DefinedTwice(id)),
            Err(at) => {
                self.has_interface |= definition.has_interface();
                self.defined.insert(at, (id, Arc::new(definition)));
                Ok(())
            }
        }
    }

    /// What the type is.
    #[inline]
    pub(crate) fn kind(&self, id: i32) -> Result<Kind<'_>, DecodeError> {
        Ok(match id {
            wire::BOOL => Kind::Bool,
            wire::INT => Kind::Int,
            wire::UINT => Kind::Uint,
            wire::FLOAT => Kind::Float,
            wire::BYTES => Kind::Bytes,
            wire::STRING => Kind::String,
            wire::COMPLEX => Kind::Complex,
            wire::INTERFACE => Kind::Interface,
            _ => match self.find(id) {
                Ok(at) => Kind::Defined(&self.defined[at].1),
                Err(_) => return Err(DecodeError::UnknownType(id)),
            },
        })
    }
}

/// What a type is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'t> {
    Bool,
    Int,
    Uint,
    Float,
    Bytes,
    String,
    Complex,
    Interface,
    Defined(&'t Type),
}

impl Kind<'_> {
    #[inline]
    pub(crate) fn is_struct(self) -> bool {
        matches!(self, Kind::Defined(Type::Struct(_)))
    }
}

/// A type that the stream has defined. The types in it need not be defined yet.
#[derive(Debug)]
pub(crate) enum Type {
    Array { element: i32, len: u64 },
    Slice { element: i32 },
    Map { key: i32, value: i32 },
    Struct(Struct),
    Marshaled(Marshaler),
}

#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) name: Box<str>,
    pub(crate) fields: Vec<Field>,
    /// Which field is which of the Rust struct that was first decoded from it.
    plan: OnceLock<Plan>,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) id: i32,
}

impl Field {
    /// Whether it only holds a place; see [`Encoder`](crate::Encoder).
    pub(crate) fn is_placeholder(&self) -> bool {
        &*self.name == "_"
    }
}

impl Type {
    fn has_interface(&self) -> bool {
        match self {
            Type::Array { element, .. } | Type::Slice { element } => *element == wire::INTERFACE,
            Type::Map { key, value } => *key == wire::INTERFACE || *value == wire::INTERFACE,
            Type::Struct(of) => of.fields.iter().any(|field| field.id == wire::INTERFACE),
            Type::Marshaled(_) => false,
        }
    }

    /// Reads Go's `wireType`: a struct with a field for each kind of type, one of them set.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut read = None;
        each_field(reader, |kind, reader| {
            let of = match kind {
                1 => Type::read_array(reader)?,
                2 => Type::read_slice(reader)?,
                3 => Type::Struct(Struct::read(reader)?),
                4 => Type::read_map(reader)?,
                5 => Type::read_marshaled(Marshaler::Gob, reader)?,
                6 => Type::read_marshaled(Marshaler::Binary, reader)?,
                7 => Type::read_marshaled(Marshaler::Text, reader)?,
                _ => return Err(UNKNOWN_DEFINITION),
            };
            match read.replace(of) {
                None => Ok(()),
                Some(_) => Err(DecodeError::Malformed("a type of two kinds")),
            }
        })?;
        read.ok_or(DecodeError::Malformed("a type of no kind"))
    }

    fn read_array(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut of, mut count) = (0, 0);
        each_field(reader, |field, reader| {
            match field {
                1 => drop(read_common(reader)?),
                2 => of = reader.id()?,
                3 => count = reader.int()?,
                _ => return Err(UNKNOWN_DEFINITION),
            }
            Ok(())
        })?;
        let len = u64::try_from(count)
            .map_err(|_| DecodeError::Malformed("an array of negative length"))?;
        Ok(Type::Array { element: of, len })
    }

    fn read_slice(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut of = 0;
        each_field(reader, |field, reader| {
            match field {
                1 => drop(read_common(reader)?),
                2 => of = reader.id()?,
                _ => return Err(UNKNOWN_DEFINITION),
            }
            Ok(())
        })?;
        Ok(Type::Slice { element: of })
    }

    fn read_map(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut from, mut to) = (0, 0);
        each_field(reader, |field, reader| {
            match field {
                1 => drop(read_common(reader)?),
                2 => from = reader.id()?,
                3 => to = reader.id()?,
                _ => return Err(UNKNOWN_DEFINITION),
            }
            Ok(())
        })?;
        Ok(Type::Map { key: from, value: to })
    }

    fn read_marshaled(marshaler: Marshaler, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        each_field(reader, |field, reader| match field {
            1 => read_common(reader).map(drop),
            _ => Err(UNKNOWN_DEFINITION),
        })?;
        Ok(Type::Marshaled(marshaler))
    }
}

const UNKNOWN_DEFINITION: DecodeError = DecodeError::Malformed("a definition of an unknown form");

impl Struct {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut name, mut fields) = ("", Vec::new());
        each_field(reader, |field, reader| {
            match field {
                1 => name = read_common(reader)?,
                2 => {
                    let count = reader.count()?;
                    if count > MAX_FIELDS {
                        return Err(DecodeError::Malformed("a struct with too many fields"));
                    }
                    for _ in 0..count {
                        fields.push(Field::read(reader)?);
                    }
                }
                _ => return Err(UNKNOWN_DEFINITION),
            }
            Ok(())
        })?;
        Ok(Struct { name: name.into(), fields, plan: OnceLock::new() })
    }

    /// Remembers what [`Plan::missing`] is, if that is the plan of this target.
    pub(crate) fn learn(&self, target: Target, is_missing: impl Fn(&str) -> bool) {
        let Some(plan) = self.plan.get().filter(|plan| plan.target == target) else { return };
        let missing = target
            .fields
            .iter()
            .zip(0..)
            .filter(|(name, at)| !plan.of.contains(at) && is_missing(name));
        // Another thread may have found the same.
        let _ = plan.missing.set(missing.map(|(name, _)| *name).collect());
    }

    /// Which of the target's fields each field is.
    #[inline]
    pub(crate) fn plan(&self, target: Target) -> PlanRef<'_> {
        let plan = self.plan.get_or_init(|| Plan::new(&self.fields, target));
        if plan.target == target {
            PlanRef::Known(plan)
        } else {
            PlanRef::Made(Plan::new(&self.fields, target))
        }
    }
}

/// A Rust struct that is being decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) fields: &'static [&'static str],
    /// The Rust type of its visitor: structs of the same fields may have other defaults.
    pub(crate) visitor: &'static str,
}

/// Most often the very same, but neither fields nor names are promised to be in memory only once.
impl PartialEq for Target {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        (std::ptr::eq(self.fields, other.fields) || self.fields == other.fields)
            && same(self.visitor, other.visitor)
    }
}

impl Field {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut name, mut of) = ("", 0);
        each_field(reader, |field, reader| {
            match field {
                1 => name = reader.text()?,
                2 => of = reader.id()?,
                _ => return Err(UNKNOWN_DEFINITION),
            }
            Ok(())
        })?;
        Ok(Field { name: name.into(), id: of })
    }
}

/// Reads what all definitions begin with: the type's name, and its id once more.
fn read_common<'de>(reader: &mut Reader<'de>) -> Result<&'de str, DecodeError> {
    let mut name = "";
    each_field(reader, |field, reader| {
        match field {
            1 => name = reader.text()?,
            2 => drop(reader.id()?),
            _ => return Err(UNKNOWN_DEFINITION),
        }
        Ok(())
    })?;
    Ok(name)
}

/// Calls `read` with the number of each field of a struct, from 1 and rising, to read it.
fn each_field<'de>(
    reader: &mut Reader<'de>,
    mut read: impl FnMut(u64, &mut Reader<'de>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut number: u64 = 0;
    loop {
        match reader.uint()? {
            0 => return Ok(()),
            distance => number = number.checked_add(distance).ok_or(UNKNOWN_DEFINITION)?,
        }
        read(number, reader)?;
    }
}

/// No field of the Rust struct.
pub(crate) const NO_TARGET: u32 = u32::MAX;

/// Which fields of a type on the wire are which of a Rust struct.
#[derive(Debug)]
pub(crate) struct Plan {
    target: Target,
    /// For each field on the wire, its index in the target's or [`NO_TARGET`]; none twice.
    pub(crate) of: Box<[u32]>,
    /// Whether each of the target's fields is on the wire.
    pub(crate) is_complete: bool,
    /// There are fields on either side, and not one of them in common.
    pub(crate) is_foreign: bool,
    /// The target's fields that are not on the wire and have no default, as was found out by trying.
    pub(crate) missing: OnceLock<Box<[&'static str]>>,
}

pub(crate) enum PlanRef<'t> {
    Known(&'t Plan),
    Made(Plan),
}

impl PlanRef<'_> {
    #[inline]
    pub(crate) fn get(&self) -> &Plan {
        match self {
            PlanRef::Known(plan) => plan,
            PlanRef::Made(plan) => plan,
        }
    }
}

impl Plan {
    #[cold]
    fn new(fields: &[Field], target: Target) -> Self {
        let targets = target.fields;
        let mut of = vec![NO_TARGET; fields.len()];
        let mut taken = vec![false; targets.len()];
        // What is exact goes first, so that it is not taken by what is only alike.
        for matches in [names::crosses_as as fn(&str, &str) -> bool, names::is_alike] {
            for (of, field) in of.iter_mut().zip(fields) {
                if *of != NO_TARGET || field.is_placeholder() {
                    continue;
                }
                let found = targets
                    .iter()
                    .zip(&taken)
                    .position(|(target, taken)| !taken && matches(target, &field.name));
                if let Some(found) = found {
                    taken[found] = true;
                    *of = found as u32;
                }
            }
        }
        let is_complete = !taken.contains(&false);
        let is_foreign = !fields.is_empty()
            && !targets.is_empty()
            && !taken.contains(&true)
            && !fields.iter().any(Field::is_placeholder);
        Plan { target, of: of.into(), is_complete, is_foreign, missing: OnceLock::new() }
    }
}
