//! Starts the runtime and hands over to the command line.

use std::process::ExitCode;
use std::time::Duration;

use merchant_copilot::cli;

/// Gives memory back after an import, which the system's allocator keeps scattered over its arenas.
/// Without huge pages (`no_thp`), which are given back only whole.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Fails only when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("merchant-copilot: no threads to run on: {error}");
            return ExitCode::from(cli::FAILED);
        }
    };
    let code = runtime.block_on(cli::run(std::env::args_os()));
    // A thread that waits for the terminal does not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ExitCode::from(code)
}
