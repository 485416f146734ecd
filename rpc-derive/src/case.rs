//! From a method's name in Rust to its name on the wire.

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    UpperCamel,
    LowerCamel,
    Snake,
    ScreamingSnake,
    Kebab,
}

impl Case {
    /// What `rename_all` accepts, for its error message.
    pub(crate) const KNOWN: &str = "`UpperCamelCase` (or `PascalCase`), `lowerCamelCase` (or `camelCase`), \
         `snake_case`, `SCREAMING_SNAKE_CASE` and `kebab-case`";

    /// The case that calls itself so, or by the name that serde gives it.
    pub(crate) fn from_name(name: &str) -> Option<Case> {
        Some(match name {
            "UpperCamelCase" | "PascalCase" => Case::UpperCamel,
            "lowerCamelCase" | "camelCase" => Case::LowerCamel,
            "snake_case" => Case::Snake,
            "SCREAMING_SNAKE_CASE" => Case::ScreamingSnake,
            "kebab-case" => Case::Kebab,
            _ => return None,
        })
    }

    /// The name of an item, written so. `item` is without `r#`.
    pub(crate) fn apply(self, item: &str) -> String {
        let words = words(item);
        if words.is_empty() {
            return item.to_owned(); // `__`
        }
        let mut name = String::with_capacity(item.len() + 4);
        for (i, word) in words.iter().enumerate() {
            match self {
                Case::Snake | Case::ScreamingSnake if i > 0 => name.push('_'),
                Case::Kebab if i > 0 => name.push('-'),
                _ => {}
            }
            match self {
                Case::UpperCamel => capitalize(word, &mut name),
                Case::LowerCamel if i > 0 => capitalize(word, &mut name),
                Case::LowerCamel | Case::Snake | Case::Kebab => name.push_str(&word.to_lowercase()),
                Case::ScreamingSnake => name.push_str(&word.to_uppercase()),
            }
        }
        name
    }
}

/// The name of the constant that belongs to a method.
pub(crate) fn constant(item: &str) -> String {
    let name = Case::ScreamingSnake.apply(item);
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// The first letter large, the others as they are.
fn capitalize(word: &str, name: &mut String) {
    let mut letters = word.chars();
    name.extend(letters.next().into_iter().flat_map(char::to_uppercase));
    name.push_str(letters.as_str());
}

/// Words end at an underscore, and where a large letter follows a small one.
fn words(item: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in item.split('_').filter(|part| !part.is_empty()) {
        let mut start = 0;
        let letters = part.char_indices();
        for ((_, before), (i, letter)) in letters.clone().zip(letters.skip(1)) {
            if letter.is_uppercase() && !before.is_uppercase() {
                words.push(&part[start..i]);
                start = i;
            }
        }
        words.push(&part[start..]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_every_kind_of_name() {
        use Case::*;
        let cases = [UpperCamel, LowerCamel, Snake, ScreamingSnake, Kebab];
        for (item, names) in [
            ("multiply", ["Multiply", "multiply", "multiply", "MULTIPLY", "multiply"]),
            (
                "get_user_id",
                ["GetUserId", "getUserId", "get_user_id", "GET_USER_ID", "get-user-id"],
            ),
            ("type", ["Type", "type", "type", "TYPE", "type"]),
            ("GetUser", ["GetUser", "getUser", "get_user", "GET_USER", "get-user"]),
            ("getHTTP", ["GetHTTP", "getHTTP", "get_http", "GET_HTTP", "get-http"]),
            ("__sum_2nd_", ["Sum2nd", "sum2nd", "sum_2nd", "SUM_2ND", "sum-2nd"]),
            ("größe", ["Größe", "größe", "größe", "GRÖSSE", "größe"]),
            ("__", ["__"; 5]),
        ] {
            assert_eq!(cases.map(|case| case.apply(item)), names, "{item}");
        }
    }

    #[test]
    fn a_constant_does_not_begin_with_a_digit() {
        assert_eq!(constant("_2nd_of"), "_2ND_OF");
        assert_eq!(constant("second_of"), "SECOND_OF");
    }

    #[test]
    fn cases_are_known_by_two_names() {
        assert_eq!(Case::from_name("UpperCamelCase"), Case::from_name("PascalCase"));
        assert_eq!(Case::from_name("lowerCamelCase"), Case::from_name("camelCase"));
        assert_eq!(Case::from_name("Snake_Case"), None);
    }
}
