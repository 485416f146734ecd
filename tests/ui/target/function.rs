use netrpc::service;

#[service]
async fn double(n: i64, reply: &mut i64) {
    *reply = 2 * n;
}

fn main() {}
