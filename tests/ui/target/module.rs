use netrpc::service;

#[service]
mod arith {}

fn main() {}
