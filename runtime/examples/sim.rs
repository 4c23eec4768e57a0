//! Runs the simulator alone: `cargo run --release -p runtime --example sim -- --seeds 100`.

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    sim: runtime::sim::cli::SimArgs,
}

fn main() {
    std::process::exit(runtime::sim::cli::execute(&Arguments::parse().sim));
}
