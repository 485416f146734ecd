//! [`netrpc_gob::names`] for the many fields that are short and ASCII, without allocating.

use netrpc_gob::names;

/// The longest field whose name is made on the stack.
const SHORT: usize = 64;

/// Calls `then` with the name that `field` crosses under.
#[inline]
pub(super) fn with_go_name<R>(field: &str, then: impl FnOnce(&str) -> R) -> R {
    if field.starts_with(|first: char| first.is_ascii_uppercase()) {
        return then(field);
    }
    let mut buffer = [0; SHORT];
    let mut len = 0;
    if field.len() <= SHORT && field.is_ascii() {
        for letter in letters(field) {
            buffer[len] = letter;
            len += 1;
        }
    }
    match str::from_utf8(&buffer[..len]) {
        Ok(name) if len > 0 => then(name),
        _ => then(&names::go_name(field)),
    }
}

/// [`names::find`], which looks at every field's Go name before it looks for one that is like it.
#[inline]
pub(super) fn find(fields: &'static [&'static str], sent: &str) -> Option<&'static str> {
    let exact = fields.iter().find(|field| crosses_as(field, sent));
    exact.copied().or_else(|| {
        // Names that mean nothing are many where a peer wants them to be.
        let any = fields.iter().any(|field| may_be_alike(field, sent));
        any.then(|| names::find(fields, sent)).flatten()
    })
}

/// Whether the names differ only in case and underscores; or it would take more to tell.
#[inline]
fn may_be_alike(field: &str, sent: &str) -> bool {
    fn letters(name: &str) -> impl Iterator<Item = u8> + '_ {
        name.bytes().filter(|letter| *letter != b'_').map(|letter| letter.to_ascii_lowercase())
    }
    letters(field).eq(letters(sent)) || !field.is_ascii() || !sent.is_ascii()
}

/// Whether `field` was called `sent`.
#[inline]
fn crosses_as(field: &str, sent: &str) -> bool {
    if let ([first @ (b'a'..=b'z' | b'A'..=b'Z'), ..], [sent, ..]) =
        (field.as_bytes(), sent.as_bytes())
        && first != sent
        && first.to_ascii_uppercase() != *sent
    {
        return false;
    }
    if field == sent {
        return true;
    }
    if !field.is_ascii() {
        return names::go_name(field) == sent;
    }
    !field.starts_with(|first: char| first.is_ascii_uppercase()) && letters(field).eq(sent.bytes())
}

/// The Go name of an ASCII field that does not begin with a capital.
fn letters(field: &str) -> impl Iterator<Item = u8> + '_ {
    let mut begins_word = true;
    field.bytes().filter_map(move |letter| {
        if letter == b'_' {
            begins_word = true;
            return None;
        }
        let begins = std::mem::replace(&mut begins_word, false);
        Some(if begins { letter.to_ascii_uppercase() } else { letter })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[&str] = &[
        "a",
        "user",
        "user_id",
        "userid",
        "_private",
        "trailing_",
        "a__b",
        "A",
        "UserID",
        "größe",
        "über_maß",
        "Ärger",
        "k_",
        "x1_2y",
        "_",
        "",
        "this_name_is_longer_than_those_that_are_made_on_the_stack_are_allowed_to_be",
    ];

    #[test]
    fn names_are_those_of_the_gob_crate() {
        for field in FIELDS {
            assert_eq!(with_go_name(field, str::to_owned), names::go_name(field), "{field}");
        }
    }

    #[test]
    fn fields_are_found_as_the_gob_crate_finds_them() {
        let crossed: Vec<String> = FIELDS.iter().map(|f| names::go_name(f).into_owned()).collect();
        let others = [
            "USER_ID",
            "userID",
            "Userid",
            "nothing",
            "User_Id",
            "\u{212A}",
            "k",
            "ÜBERMASS",
            "GRÖSSE",
        ];
        let sent = crossed.iter().map(String::as_str).chain(FIELDS.iter().copied()).chain(others);
        for sent in sent {
            assert_eq!(find(FIELDS, sent), names::find(FIELDS, sent), "{sent}");
        }
    }
}
