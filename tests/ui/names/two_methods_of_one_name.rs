use netrpc::service;

struct Users;

#[service]
impl Users {
    fn get(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }

    async fn get(&self, name: &str, reply: &mut String) {
        *reply = name.to_owned();
    }
}

fn main() {}
