use netrpc::service;

struct Users;

#[service]
impl Users {
    fn get_user(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }

    #[allow(non_snake_case)]
    fn getUser(&self, id: u64, reply: &mut String) {
        *reply = id.to_string();
    }
}

fn main() {}
