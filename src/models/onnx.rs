//! Chooses, once per process, what runs ONNX models: a libonnxruntime found on this machine, or the
//! pure-Rust backend that is compiled in. Both give the same vectors to about six digits.

use std::ffi::c_char;
use std::sync::OnceLock;

use ort::sys::{OrtApi, OrtStatusPtr, OrtTensorTypeAndShapeInfo};

/// What runs ONNX models in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A dynamic library, 3-4 times faster for transformers.
    OnnxRuntime,
    /// The pure-Rust fallback.
    Tract,
}

/// ONNX Runtime's interface is one per process, so the choice is too.
static CHOSEN: OnceLock<Backend> = OnceLock::new();

/// Chooses on the first call; later calls tell what was chosen. Must come before any other use of `ort`.
pub fn backend() -> Backend {
    *CHOSEN.get_or_init(choose)
}

/// Tries one library only: after a failed `init_from`, ort takes a second one for a success and then
/// reads a handle that was never written.
#[expect(clippy::disallowed_methods, reason = "ORT_DYLIB_PATH is ONNX Runtime's own variable, not a key of ours")]
fn choose() -> Backend {
    let named = std::env::var("ORT_DYLIB_PATH").ok().filter(|path| !path.is_empty());
    let library = named.as_deref().unwrap_or(SYSTEM_NAME);
    match ort::init_from(library) {
        Ok(environment) => {
            environment.with_name("merchant-copilot").commit();
            tracing::info!(library, "models run on ONNX Runtime");
            return Backend::OnnxRuntime;
        }
        Err(error) if named.is_some() => {
            tracing::warn!(%error, "ORT_DYLIB_PATH cannot be used; models run on the built-in backend");
        }
        Err(error) => tracing::debug!(%error, "no ONNX Runtime here; models run on the built-in backend"),
    }
    ort::set_api(tract());
    Backend::Tract
}

/// The name that the system's loader looks up.
const SYSTEM_NAME: &str = if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else if cfg!(target_os = "windows") {
    "onnxruntime.dll"
} else {
    "libonnxruntime.so"
};

/// The pure-Rust backend's functions. It lacks one that `ort` calls for every tensor and takes for
/// infallible: names of open dimensions, which nothing here reads.
fn tract() -> OrtApi {
    OrtApi { SetSymbolicDimensions: ignore_symbols, ..ort_tract::api() }
}

/// Accepts the names of open dimensions and drops them. `unsafe` only because the table of functions
/// asks for that type: it reads none of its pointers, so any caller is safe.
unsafe extern "system" fn ignore_symbols(_: *mut OrtTensorTypeAndShapeInfo, _: *mut *const c_char, _: usize) -> OrtStatusPtr {
    OrtStatusPtr::default()
}
