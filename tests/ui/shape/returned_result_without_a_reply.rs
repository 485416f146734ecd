use netrpc::service;

struct Search;

type SearchResult = Result<u64, String>;

#[service]
impl Search {
    fn find(&self, word: &str) -> SearchResult {
        Ok(word.len() as u64)
    }
}

fn main() {}
