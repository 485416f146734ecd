//! Walking over a value without decoding it: to skip it, or to find the definitions in it.
//!
//! Go defines the type of what is in an interface in the middle of the value, where it has to end
//! the message for that and go on in the next. So a value that came in one piece looks like this,
//! whether the pieces were messages or parts of an interface's value:
//!
//! ```text
//! … length, name | -id, definition | length of the next piece | id | length of the value, value …
//! ```

use crate::{
    error::DecodeError,
    types::{Kind, Type, Types},
    wire::{MAX_DEPTH, Reader},
};

/// A place in a value, from which the walk can go on.
#[derive(Debug)]
pub(crate) struct Walk {
    /// What is open, the outermost first.
    open: Vec<Open>,
    /// The type of the value that comes next.
    next: Option<i32>,
}

#[derive(Debug)]
enum Open {
    /// A struct of that type, after the field of that number.
    Struct {
        id: i32,
        number: u64,
    },
    Elements {
        of: i32,
        left: u64,
    },
    /// Pairs, and whether the next is a value.
    Entries {
        key: i32,
        value: i32,
        left: u64,
        half: bool,
    },
    /// An interface, of which the name has been read.
    Interface,
    /// The same after a definition.
    Defined,
}

/// Why a walk stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The value ended.
    End,
    /// There was a definition; the walk goes on after it.
    Definition(i32, Type),
    /// The bytes ended where a message may end.
    MoreMessages,
}

impl Walk {
    /// A walk over a value of that type.
    pub(crate) fn new(id: i32) -> Self {
        Walk { open: Vec::new(), next: Some(id) }
    }

    pub(crate) fn go_on(
        &mut self,
        types: &Types,
        reader: &mut Reader<'_>,
    ) -> Result<Stop, DecodeError> {
        loop {
            if let Some(id) = self.next.take() {
                self.enter(types, id, reader)?;
                if self.open.len() > MAX_DEPTH {
                    return Err(DecodeError::TooDeep);
                }
                continue;
            }
            let Some(open) = self.open.last_mut() else { return Ok(Stop::End) };
            match open {
                Open::Struct { id, number } => {
                    let distance = reader.uint()?;
                    if distance == 0 {
                        self.open.pop();
                        continue;
                    }
                    *number = number.checked_add(distance).ok_or(NO_FIELD)?;
                    let Kind::Defined(Type::Struct(of)) = types.kind(*id)? else {
                        return Err(DecodeError::UnknownType(*id));
                    };
                    let field = usize::try_from(*number - 1).ok().and_then(|at| of.fields.get(at));
                    self.next = Some(field.ok_or(NO_FIELD)?.id);
                }
                Open::Elements { of, left } => match left.checked_sub(1) {
                    Some(fewer) => {
                        *left = fewer;
                        self.next = Some(*of);
                    }
                    None => drop(self.open.pop()),
                },
                Open::Entries { key, value, left, half } => {
                    if *half {
                        *half = false;
                        self.next = Some(*value);
                    } else if let Some(fewer) = left.checked_sub(1) {
                        (*left, *half) = (fewer, true);
                        self.next = Some(*key);
                    } else {
                        self.open.pop();
                    }
                }
                Open::Defined => {
                    if reader.rest.is_empty() {
                        return Ok(Stop::MoreMessages);
                    }
                    reader.uint()?;
                    *open = Open::Interface;
                }
                Open::Interface => match read_concrete(reader)? {
                    Concrete::Definition(id, definition) => {
                        *open = Open::Defined;
                        return Ok(Stop::Definition(id, definition));
                    }
                    Concrete::Value(id) => {
                        self.open.pop();
                        skip_single(types, id, reader)?;
                        self.next = Some(id);
                    }
                },
            }
        }
    }

    /// Reads what a value begins with; if that is not all of it, it is open afterwards.
    fn enter(
        &mut self,
        types: &Types,
        id: i32,
        reader: &mut Reader<'_>,
    ) -> Result<(), DecodeError> {
        match types.kind(id)? {
            Kind::Bool | Kind::Int | Kind::Uint | Kind::Float => drop(reader.uint()?),
            Kind::Complex => {
                reader.uint()?;
                reader.uint()?;
            }
            Kind::Bytes | Kind::String | Kind::Defined(Type::Marshaled(_)) => {
                reader.bytes()?;
            }
            Kind::Interface => {
                if !reader.bytes()?.is_empty() {
                    self.open.push(Open::Interface);
                }
            }
            Kind::Defined(Type::Struct(_)) => self.open.push(Open::Struct { id, number: 0 }),
            Kind::Defined(Type::Array { element, .. } | Type::Slice { element }) => {
                self.open.push(Open::Elements { of: *element, left: reader.uint()? });
            }
            Kind::Defined(Type::Map { key, value }) => {
                let left = reader.uint()?;
                self.open.push(Open::Entries { key: *key, value: *value, left, half: false });
            }
        }
        Ok(())
    }
}

pub(crate) const NO_FIELD: DecodeError =
    DecodeError::Malformed("a value of a field that its type does not have");

/// What comes after an interface's name.
pub(crate) enum Concrete {
    /// A definition; more follow, or a value, after a length that says nothing new.
    Definition(i32, Type),
    /// A value of that type.
    Value(i32),
}

pub(crate) fn read_concrete(reader: &mut Reader<'_>) -> Result<Concrete, DecodeError> {
    let id = reader.id()?;
    if id < 0 {
        return Ok(Concrete::Definition(-id, Type::read(reader)?));
    }
    // Its length, which is that of its first piece only.
    reader.uint()?;
    Ok(Concrete::Value(id))
}

/// A value that stands alone and is no struct is preceded by the number of the field that it is not.
#[inline]
pub(crate) fn skip_single(
    types: &Types,
    id: i32,
    reader: &mut Reader<'_>,
) -> Result<(), DecodeError> {
    if !types.kind(id)?.is_struct() && reader.uint()? != 0 {
        return Err(DecodeError::Malformed("a field in what is no struct"));
    }
    Ok(())
}

/// Skips a value, whose definitions have been seen.
pub(crate) fn skip(types: &Types, id: i32, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let mut walk = Walk::new(id);
    loop {
        match walk.go_on(types, reader)? {
            Stop::End => return Ok(()),
            Stop::Definition(..) => {}
            Stop::MoreMessages => return Err(DecodeError::Truncated),
        }
    }
}
