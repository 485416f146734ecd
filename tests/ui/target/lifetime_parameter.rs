use netrpc::service;

struct Words<'a> {
    text: &'a str,
}

#[service]
impl<'a> Words<'a> {
    fn count(&self, word: String, reply: &mut usize) {
        *reply = self.text.split(' ').filter(|it| *it == word).count();
    }
}

fn main() {}
