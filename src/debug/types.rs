//! Types' names, as people write them.

/// The name without the modules: `alloc::vec::Vec<alloc::string::String>` is `Vec<String>`.
///
/// Of each path its last part is left. What the compiler calls otherwise than people do (closures,
/// say) is left as it is: it is for reading only.
pub(super) fn short(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut path = String::new();
    for c in name.chars() {
        if c.is_alphanumeric() || matches!(c, '_' | ':' | '{' | '}' | '#') {
            path.push(c);
        } else {
            short.push_str(last(&path));
            path.clear();
            short.push(c);
        }
    }
    short.push_str(last(&path));
    // Lifetimes are erased; newer compilers let some of them show.
    short.replace("<'_>", "").replace("'_, ", "").replace("'_ ", "")
}

/// The last part of a path. One that goes on from a bracket (`<A as B>::C`) is needed whole.
fn last(path: &str) -> &str {
    if path.starts_with("::") {
        return path;
    }
    path.rsplit_once("::").map_or(path, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use std::{any::type_name, borrow::Cow, collections::HashMap, sync::Arc};

    use super::short;

    struct Here;

    #[test]
    fn module_paths_are_left_out() {
        assert_eq!(short(type_name::<Vec<String>>()), "Vec<String>");
        assert_eq!(short(type_name::<HashMap<String, Vec<u8>>>()), "HashMap<String, Vec<u8>>");
        assert_eq!(short(type_name::<(i64, Option<Arc<str>>)>()), "(i64, Option<Arc<str>>)");
        assert_eq!(short(type_name::<Cow<'static, [u8]>>()), "Cow<[u8]>");
        assert_eq!(short(type_name::<[Here; 3]>()), "[Here; 3]");
    }

    #[test]
    fn what_has_no_path_stays_as_it_is() {
        for name in ["()", "&str", "i64", "[u8; 32]", "", "fn(u8) -> i32", "dyn Error + Send"] {
            assert_eq!(short(name), name);
        }
        assert_eq!(short("<main::A as main::B<u8>>::C"), "<A as B<u8>>::C");
        assert_eq!(short("dyn core::error::Error + core::marker::Send"), "dyn Error + Send");
    }
}
