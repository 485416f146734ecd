//! Values that checks and layers leave for whoever comes after them.

use std::{
    any::{Any, TypeId, type_name},
    fmt,
    sync::Arc,
};

/// At most one value of each type: what those who see a call first leave for those who see it later.
///
/// ```
/// use netrpc_core::Extensions;
///
/// #[derive(PartialEq, Debug)]
/// struct Tenant(&'static str);
///
/// let mut extensions = Extensions::new();
/// extensions.insert(Tenant("blue"));
/// assert_eq!(extensions.get(), Some(&Tenant("blue")));
/// assert_eq!(extensions.get::<String>(), None);
/// ```
///
/// Cloning shares the values. An empty one allocates nothing.
#[derive(Clone, Default)]
pub struct Extensions {
    /// No type occurs twice. There are a few at most, so nothing is faster than to look at all.
    values: Vec<Value>,
}

#[derive(Clone)]
struct Value {
    id: TypeId,
    /// For people.
    name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl Extensions {
    /// No values.
    pub const fn new() -> Self {
        Extensions { values: Vec::new() }
    }

    /// Adds a value, in place of the one of its type.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        let id = TypeId::of::<T>();
        let value = Value { id, name: type_name::<T>(), value: Arc::new(value) };
        match self.values.iter_mut().find(|known| known.id == id) {
            Some(known) => *known = value,
            None => self.values.push(value),
        }
    }

    /// The value of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        let found = self.values.iter().find(|known| known.id == id)?;
        found.value.downcast_ref()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.iter().map(|value| value.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_of_a_type_is_the_one() {
        let mut extensions = Extensions::new();
        extensions.insert(1u8);
        extensions.insert("text");
        let before = extensions.clone();
        extensions.insert(2u8);
        assert_eq!((extensions.get(), extensions.get()), (Some(&2u8), Some(&"text")));
        assert_eq!(before.get(), Some(&1u8), "a clone keeps what it had");
        assert_eq!(format!("{extensions:?}"), r#"{"u8", "&str"}"#);
    }
}
