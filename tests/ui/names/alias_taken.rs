use netrpc::service;

struct Users;

#[service]
impl Users {
    fn get_user(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }

    #[method(alias = "Fetch", alias = "get_user")]
    fn fetch_user(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }
}

fn main() {}
