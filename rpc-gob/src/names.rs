//! How a Rust field is called in Go, and which Rust field a Go name means.
//!
//! Go exports only names that begin with a capital, and its programmers write `UserID` where Rust's
//! write `user_id`. A field crosses under [`go_name`]; what arrives is matched by [`find`], which
//! looks neither at case nor at underscores.

use std::borrow::Cow;

/// The name a field crosses under: `UpperCamel`, unless it begins with a capital already, which is
/// used as written (`#[serde(rename = "UserID")]`).
///
/// ```
/// use netrpc_gob::names::go_name;
///
/// assert_eq!(go_name("a"), "A");
/// assert_eq!(go_name("user_id"), "UserId");
/// assert_eq!(go_name("userID"), "UserID");
/// assert_eq!(go_name("UserID"), "UserID");
/// ```
pub fn go_name(field: &str) -> Cow<'_, str> {
    if field.starts_with(|first: char| first.is_uppercase()) {
        return Cow::Borrowed(field);
    }
    let mut name = String::with_capacity(field.len());
    for word in field.split('_').filter(|word| !word.is_empty()) {
        let mut letters = word.chars();
        name.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        name.push_str(letters.as_str());
    }
    Cow::Owned(name)
}

/// Which of `fields` the name that was sent means: the one that crosses under exactly that name, or
/// else the one that differs only in case and underscores.
///
/// ```
/// use netrpc_gob::names::find;
///
/// assert_eq!(find(&["user", "user_id"], "UserID"), Some("user_id"));
/// assert_eq!(find(&["user", "user_id"], "Name"), None);
/// assert_eq!(find(&["ab", "a_b"], "aB"), Some("ab"), "the first, where several would do");
/// assert_eq!(find(&["userid", "user_id"], "UserId"), Some("user_id"), "unless one is exact");
/// ```
pub fn find<'f>(fields: &[&'f str], sent: &str) -> Option<&'f str> {
    let exact = fields.iter().find(|field| crosses_as(field, sent));
    exact.or_else(|| fields.iter().find(|field| is_alike(field, sent))).copied()
}

/// Whether the name that was sent is exactly what the field is called, here or in Go.
pub(crate) fn crosses_as(field: &str, sent: &str) -> bool {
    field == sent || go_name(field) == sent
}

/// Whether the two differ only in case and underscores.
pub(crate) fn is_alike(field: &str, sent: &str) -> bool {
    fn letters(name: &str) -> impl Iterator<Item = char> + '_ {
        name.chars().filter(|letter| *letter != '_').flat_map(char::to_lowercase)
    }
    letters(field).eq(letters(sent))
}
