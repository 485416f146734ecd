use netrpc::service;

struct Words;

#[derive(serde::Serialize, serde::Deserialize)]
struct Pair<'a> {
    key: &'a str,
    value: &'a str,
}

#[service]
impl Words {
    fn join(&self, pair: Pair, reply: &mut String) {
        *reply = format!("{}={}", pair.key, pair.value);
    }
}

fn main() {}
