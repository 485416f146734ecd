//! The types that one outgoing stream has defined, and what they are called there.
//!
//! Struct types are found by name, type parameters and field names, and get wider as values come
//! that know more of their fields. A definition that was sent stays as it is: what is wider has
//! another id, and so has everything that contains it.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use crate::{
    error::EncodeError,
    names::go_name,
    schema::{self, Schema},
    shape::Marshaler,
    wire::{self, FIRST_DEFINED, write_bytes, write_int, write_uint},
};

/// The most types that one stream defines.
const MAX_TYPES: usize = 10_000;
/// A field under this name Go skips, because it is not exported.
const PLACEHOLDER: &str = "_";

#[derive(Default)]
pub(crate) struct Definitions {
    /// Every type once; what is known of a struct is in `structs`.
    types: Vec<Type>,
    /// Where each is in `types`.
    index: HashMap<Type, Of>,
    /// What each is called on the stream. `None`: it is not defined, or got wider since.
    ids: Vec<Option<i32>>,
    structs: Vec<Struct>,
    /// How many ids are given away.
    given: usize,
}

/// An index into [`Definitions::types`].
type Of = usize;

#[derive(Clone, PartialEq, Eq, Hash)]
enum Type {
    Basic(u8),
    Slice(Of),
    Array(u64, Of),
    Map(Of, Of),
    /// An index into [`Definitions::structs`].
    Struct(usize),
    Marshaled(Marshaler, Box<str>),
}

struct Struct {
    name: Box<str>,
    parameters: Box<str>,
    is_enum: bool,
    /// By their numbers, which an enum does not have all of.
    fields: Vec<Field>,
}

struct Field {
    index: u32,
    name: Box<str>,
    /// `None`: no value of it has been sent.
    of: Option<Of>,
}

/// Which struct of the stream each struct of a schema is.
type Places = Vec<Option<usize>>;

impl Definitions {
    /// How many types are defined.
    pub(crate) fn len(&self) -> usize {
        self.given
    }

    /// What the type is called on the stream; what is not yet defined of it is appended to `out`.
    pub(crate) fn define(
        &mut self,
        schema: &Schema<'_>,
        out: &mut Vec<u8>,
    ) -> Result<i32, EncodeError> {
        let places = self.place(schema);
        self.widen(schema, &places)?;
        let root = self.import(&schema.root, &places);
        let (given, mut fresh) = (self.given, Vec::new());
        self.name(root, &mut fresh);
        if self.given > MAX_TYPES {
            self.given = given;
            for of in fresh {
                self.ids[of] = None;
            }
            return Err(EncodeError::TooManyTypes(MAX_TYPES));
        }
        self.write(root, &mut fresh.into_iter().collect(), out);
        Ok(self.id(root))
    }

    /// Finds the schema's structs among those of the stream, or adds them.
    fn place(&mut self, schema: &Schema<'_>) -> Places {
        let mut places = vec![None; schema.structs.len()];
        for (local, given) in schema.structs.iter().enumerate() {
            if places[local].is_some() {
                continue;
            }
            let found = (0..self.structs.len()).any(|place| {
                let mut placed = Vec::new();
                let fits = self.fits(schema, local, place, &mut places, &mut placed);
                if !fits {
                    placed.into_iter().for_each(|local| places[local] = None);
                }
                fits
            });
            if !found {
                places[local] = Some(self.structs.len());
                let new = |field: &schema::Field<'_>| Field {
                    index: field.index,
                    name: field.name.into(),
                    of: None,
                };
                self.structs.push(Struct {
                    name: given.name.into(),
                    parameters: given.parameters.into(),
                    is_enum: given.is_enum,
                    fields: given.fields.iter().map(new).collect(),
                });
            }
        }
        places
    }

    /// Whether the schema's struct can be that one of the stream: it has the same name and fields,
    /// and the types of those that both know fit as well, which places more structs.
    fn fits(
        &self,
        schema: &Schema<'_>,
        local: usize,
        place: usize,
        places: &mut Places,
        placed: &mut Vec<usize>,
    ) -> bool {
        if let Some(known) = places[local] {
            return known == place;
        }
        let (given, known) = (&schema.structs[local], &self.structs[place]);
        if *known.name != *given.name
            || *known.parameters != *given.parameters
            || known.is_enum != given.is_enum
            || (!known.is_enum && known.fields.len() != given.fields.len())
        {
            return false;
        }
        // Two structs of one schema that are called alike are two because they do not fit.
        if !known.fields.is_empty() && places.contains(&Some(place)) {
            return false;
        }
        places[local] = Some(place);
        placed.push(local);
        given.fields.iter().all(|given| {
            let Ok(at) = known.find(given.index) else { return known.is_enum };
            let known = &known.fields[at];
            *known.name == *given.name
                && match (&given.of, known.of) {
                    (Some(given), Some(known)) => {
                        self.type_fits(schema, given, known, places, placed)
                    }
                    _ => true,
                }
        })
    }

    fn type_fits(
        &self,
        schema: &Schema<'_>,
        given: &schema::Type<'_>,
        known: Of,
        places: &mut Places,
        placed: &mut Vec<usize>,
    ) -> bool {
        use schema::Type as Given;
        let mut fits = |given, known| self.type_fits(schema, given, known, places, placed);
        match (given, &self.types[known]) {
            (Given::Basic(given), Type::Basic(known)) => given == known,
            (Given::Slice(given), Type::Slice(known)) => fits(given, *known),
            (Given::Array(len, given), Type::Array(known_len, known)) => {
                len == known_len && fits(given, *known)
            }
            (Given::Map(given, value), Type::Map(known, known_value)) => {
                fits(given, *known) && fits(value, *known_value)
            }
            (Given::Struct(given), Type::Struct(known)) => {
                self.fits(schema, *given, *known, places, placed)
            }
            (Given::Marshaled(given, name), Type::Marshaled(known, known_name)) => {
                given == known && **name == **known_name
            }
            _ => false,
        }
    }

    /// Adds what the schema knows of its structs to what the stream knew.
    fn widen(&mut self, schema: &Schema<'_>, places: &Places) -> Result<(), EncodeError> {
        let mut wider = vec![false; self.structs.len()];
        for (given, place) in schema.structs.iter().zip(places) {
            let place = place.ok_or(EncodeError::NotDetached)?;
            for field in &given.fields {
                let of = field.of.as_ref().map(|of| self.import(of, places));
                let known = &mut self.structs[place];
                match known.find(field.index) {
                    Ok(at) if known.fields[at].of.is_none() => {
                        known.fields[at].of = of;
                        wider[place] |= of.is_some();
                    }
                    Ok(at) if of.is_none() || known.fields[at].of == of => {}
                    // One schema that contradicts itself.
                    Ok(_) => return Err(EncodeError::NotDetached),
                    Err(at) => {
                        let (index, name) = (field.index, field.name.into());
                        known.fields.insert(at, Field { index, name, of });
                        wider[place] = true;
                    }
                }
            }
        }
        if wider.contains(&true) {
            self.forget(wider);
        }
        Ok(())
    }

    /// Takes the ids from all types that contain one of these structs.
    fn forget(&mut self, mut wider: Vec<bool>) {
        loop {
            let containing = (0..self.structs.len()).find(|place| {
                let mut types = self.structs[*place].fields.iter().filter_map(|field| field.of);
                !wider[*place] && types.any(|of| self.contains(of, &wider))
            });
            match containing {
                Some(place) => wider[place] = true,
                None => break,
            }
        }
        for of in 0..self.types.len() {
            if self.ids[of].is_some() && self.contains(of, &wider) {
                self.ids[of] = None;
            }
        }
    }

    fn contains(&self, of: Of, structs: &[bool]) -> bool {
        match self.types[of] {
            Type::Basic(_) | Type::Marshaled(..) => false,
            Type::Slice(element) | Type::Array(_, element) => self.contains(element, structs),
            Type::Map(key, value) => self.contains(key, structs) || self.contains(value, structs),
            Type::Struct(place) => structs[place],
        }
    }

    fn import(&mut self, given: &schema::Type<'_>, places: &Places) -> Of {
        let of = match given {
            schema::Type::Basic(id) => Type::Basic(*id),
            schema::Type::Slice(element) => Type::Slice(self.import(element, places)),
            schema::Type::Array(len, element) => Type::Array(*len, self.import(element, places)),
            schema::Type::Map(key, value) => {
                Type::Map(self.import(key, places), self.import(value, places))
            }
            schema::Type::Struct(local) => Type::Struct(places[*local].unwrap_or_default()),
            schema::Type::Marshaled(marshaler, name) => Type::Marshaled(*marshaler, (*name).into()),
        };
        if let Some(known) = self.index.get(&of) {
            return *known;
        }
        self.index.insert(of.clone(), self.types.len());
        self.ids.push(match of {
            Type::Basic(id) => Some(id.into()),
            _ => None,
        });
        self.types.push(of);
        self.types.len() - 1
    }

    fn id(&self, of: Of) -> i32 {
        self.ids[of].unwrap_or_default()
    }

    /// Gives ids to a type and those in it, in the order in which Go does.
    fn name(&mut self, of: Of, fresh: &mut Vec<Of>) {
        if self.ids[of].is_some() {
            return;
        }
        match self.types[of] {
            Type::Basic(_) | Type::Marshaled(..) => {}
            Type::Slice(element) | Type::Array(_, element) => self.name(element, fresh),
            Type::Map(key, value) => {
                self.name(key, fresh);
                self.name(value, fresh);
            }
            Type::Struct(place) => {
                self.give_id(of, fresh);
                for at in 0..self.structs[place].fields.len() {
                    if let Some(field) = self.structs[place].fields[at].of {
                        self.name(field, fresh);
                    }
                }
            }
        }
        // A slice of structs that contain such slices has got its id from those.
        if self.ids[of].is_none() {
            self.give_id(of, fresh);
        }
    }

    fn give_id(&mut self, of: Of, fresh: &mut Vec<Of>) {
        self.given += 1;
        self.ids[of] = Some(FIRST_DEFINED + self.given as i32);
        fresh.push(of);
    }

    /// Defines a type and those in it, as far as they are `fresh`.
    fn write(&self, of: Of, fresh: &mut HashSet<Of>, out: &mut Vec<u8>) {
        if !fresh.remove(&of) {
            return;
        }
        let mut message = Vec::new();
        write_int(&mut message, -i64::from(self.id(of)));
        self.write_definition(of, &mut message);
        write_bytes(out, &message);
        match &self.types[of] {
            Type::Basic(_) | Type::Marshaled(..) => {}
            Type::Slice(element) | Type::Array(_, element) => self.write(*element, fresh, out),
            Type::Map(key, value) => {
                self.write(*key, fresh, out);
                self.write(*value, fresh, out);
            }
            Type::Struct(place) => {
                for field in &self.structs[*place].fields {
                    if let Some(of) = field.of {
                        self.write(of, fresh, out);
                    }
                }
            }
        }
    }

    /// Writes Go's `wireType`: a struct with a field for each kind of type, one of them set.
    fn write_definition(&self, of: Of, out: &mut Vec<u8>) {
        let common = |kind: u8, name: &str, out: &mut Vec<u8>| {
            // The kind's field, and in it the first: the common part.
            out.extend_from_slice(&[kind, 1]);
            if name.is_empty() {
                out.push(2);
            } else {
                out.push(1);
                write_bytes(out, name.as_bytes());
                out.push(1);
            }
            write_int(out, self.id(of).into());
            out.push(0);
        };
        match &self.types[of] {
            Type::Basic(_) => {}
            Type::Array(len, element) => {
                common(1, "", out);
                self.write_id(*element, out);
                if let Ok(len @ 1..) = i64::try_from(*len) {
                    out.push(1);
                    write_int(out, len);
                }
            }
            Type::Slice(element) => {
                common(2, "", out);
                self.write_id(*element, out);
            }
            Type::Struct(place) => {
                let given = &self.structs[*place];
                common(3, &given.name, out);
                given.write_fields(|of| self.id(of), out);
            }
            Type::Map(key, value) => {
                common(4, "", out);
                self.write_id(*key, out);
                self.write_id(*value, out);
            }
            Type::Marshaled(marshaler, name) => {
                let kind = match marshaler {
                    Marshaler::Gob => 5,
                    Marshaler::Binary => 6,
                    Marshaler::Text => 7,
                };
                common(kind, name, out);
            }
        }
        out.extend_from_slice(&[0, 0]);
    }

    fn write_id(&self, of: Of, out: &mut Vec<u8>) {
        out.push(1);
        write_int(out, self.id(of).into());
    }
}

/// What a field is called in Go, which wants a name for it.
fn exported(field: &str) -> Cow<'_, str> {
    let name = go_name(field);
    if name.is_empty() { PLACEHOLDER.into() } else { name }
}

impl Struct {
    /// Where the field of that number is, or would be.
    fn find(&self, index: u32) -> Result<usize, usize> {
        self.fields.binary_search_by_key(&index, |field| field.index)
    }

    fn write_fields(&self, id: impl Fn(Of) -> i32, out: &mut Vec<u8>) {
        // Go refuses a struct of which it knows no field, but not one that has none.
        let Some(last) = self.fields.last() else { return };
        if self.fields.iter().all(|field| field.of.is_none()) {
            return;
        }
        out.push(1);
        write_uint(out, u64::from(last.index) + 1);
        let mut fields = self.fields.iter().peekable();
        for index in 0..=last.index {
            let field = fields.next_if(|field| field.index == index);
            let (name, id) = match field.and_then(|field| Some((field, field.of?))) {
                Some((field, of)) => (exported(&field.name), id(of)),
                None => (PLACEHOLDER.into(), wire::BOOL),
            };
            out.push(1);
            write_bytes(out, name.as_bytes());
            out.push(1);
            write_int(out, id.into());
            out.push(0);
        }
    }
}
