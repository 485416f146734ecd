use netrpc::service;

struct Arith<T>(T);

#[service]
impl<T: Send + Sync + 'static> Arith<T> {
    fn double(&self, n: i64, reply: &mut i64)
    where
        T: Clone,
    {
        *reply = 2 * n;
    }
}

fn main() {}
