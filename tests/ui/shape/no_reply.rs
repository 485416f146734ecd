use netrpc::service;

struct Arith;

#[service]
impl Arith {
    async fn notify(&self, event: String) {
        drop(event);
    }
}

fn main() {}
