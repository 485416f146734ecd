use netrpc::service;

trait Storage: Send + Sync {
    fn len(&self) -> usize;
}

#[service]
impl dyn Storage {
    fn longer(&self, than: usize, reply: &mut bool) {
        *reply = self.len() > than;
    }
}

fn main() {}
