use netrpc::service;

#[service]
trait Storage<K, V> {
    fn get(&self, key: K, reply: &mut V);
}

fn main() {}
