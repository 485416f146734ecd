use netrpc::service;

struct Words<'a> {
    text: &'a str,
}

#[service]
impl Words<'_> {
    fn count(&self, word: String, reply: &mut usize) {
        *reply = self.text.split(' ').filter(|it| *it == word).count();
    }
}

fn main() {}
