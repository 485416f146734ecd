use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn lines(&self, text: String) -> Result<impl Iterator<Item = char>, String> {
        Ok(text.chars().collect::<Vec<_>>().into_iter())
    }
}

fn main() {}
