use netrpc::service;

struct Search;

struct SearchResult<T>(T);

#[service]
impl Search {
    fn find(&self, word: &str) -> SearchResult<u64> {
        SearchResult(word.len() as u64)
    }
}

fn main() {}
