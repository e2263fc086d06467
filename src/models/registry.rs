//! stub
use std::sync::Arc;
use serde::Serialize;
use crate::config::ModelsConfig;
use crate::error::Result;
use super::{CompletionRequest, DeltaStream, Embedder, ModelError, Usage};

/// What clients see of a model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelCard { pub id: String, pub name: String, pub provider: String, pub price_in: f64, pub price_out: f64, pub currency: String }

/// All configured models; always at least the built-in one.
pub struct Models { }
impl Models {
    pub fn build(config: &ModelsConfig, embedder: Arc<dyn Embedder>) -> Result<Self> { unimplemented!() }
    pub fn cards(&self) -> Vec<ModelCard> { unimplemented!() }
    pub fn default_id(&self) -> &str { unimplemented!() }
    /// The model named, or the default; `model_not_found` lists what there is.
    pub fn select(&self, id: Option<&str>) -> Result<Arc<Model>> { unimplemented!() }
}
/// One selectable model behind its time limits.
pub struct Model { }
impl Model {
    pub fn card(&self) -> &ModelCard { unimplemented!() }
    /// Streams within the limits; retries only before the first token.
    pub async fn stream(&self, request: CompletionRequest) -> std::result::Result<DeltaStream, ModelError> { unimplemented!() }
    pub fn cost(&self, usage: Usage) -> f64 { unimplemented!() }
}
