//! The line to a Qdrant server and the collection on it: time limits, retries (everything sent may be sent
//! twice), errors for people. The key goes into requests and nowhere else: the library's own texts of errors,
//! which may quote a header, are never told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use qdrant_client::qdrant::points_update_operation::Operation;
use qdrant_client::qdrant::vectors_config::Config as VectorsConfigKind;
use qdrant_client::qdrant::{
    CollectionInfo, CountPoints, CreateCollection, CreateFieldIndexCollection, Distance, FieldType, Filter as Conditions, GetPoints,
    IntegerIndexParams, KeywordIndexParams, Modifier, PayloadIndexParams, PointId, PointsUpdateOperation, QueryBatchPoints, QueryPoints,
    ScoredPoint, SparseVectorConfig, SparseVectorParams, UpdateBatchPoints, VectorParams, VectorParamsMap, VectorsConfig,
    payload_index_params::IndexParams,
};
use qdrant_client::{Qdrant, QdrantError};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};
use tonic::Code;

use super::points::{self, DENSE, SPARSE};
use crate::config::QdrantConfig;
use crate::error::{Error, Result};
use crate::knowledge::Revision;

/// Raise it when points or `text::tokens` change: a new collection is then filled from the database.
const LAYOUT: u32 = 2;
/// How long a connection may take to stand.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long a change of points, or of the collection, may take.
const WRITE_WITHIN: Duration = Duration::from_secs(60);
/// Pauses before a call is made again.
const PAUSES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1)];
/// Payload that is filtered by: these words, and these times.
const WORDS: [&str; 5] = ["words", "entry", "kind", "market", "locale"];
const TIMES: [&str; 2] = ["valid_from", "valid_to"];

/// What points are made of: another embedder's have a collection of their own.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// The database that is followed.
    pub database: &'a str,
    /// Who made the vectors.
    pub embedder: &'a str,
    /// How long they are.
    pub dimensions: usize,
}

/// A collection on a server.
pub struct Server {
    client: Qdrant,
    url: String,
    collection: String,
    dimensions: usize,
    replicas: u32,
    /// How long a search may take, with all its tries.
    patience: Duration,
    prepared: AtomicBool,
}

impl Server {
    /// Connects with the first call.
    ///
    /// # Errors
    /// `bad_config` when the URL or the key cannot be sent.
    pub fn new(url: &str, config: &QdrantConfig, shape: Shape<'_>) -> Result<Self> {
        let wrong =
            |_| Error::invalid("bad_config", format!("`index` is `{url}`; expected embedded: or an address such as http://host:6334."));
        let key = Some(config.api_key.reveal()).filter(|key| !key.is_empty());
        let client = Qdrant::from_url(url)
            .api_key(key)
            .timeout(WRITE_WITHIN)
            .connect_timeout(CONNECT_WITHIN)
            .skip_compatibility_check()
            .build()
            .map_err(wrong)?;
        let embedder = Sha256::digest(format!("{}\0{}", shape.embedder, shape.dimensions));
        let embedder: String = embedder[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            client,
            url: url.to_owned(),
            collection: format!("{}-v{LAYOUT}-{}-{embedder}", config.collection, shape.database),
            dimensions: shape.dimensions,
            replicas: config.replicas,
            patience: Duration::from_millis(config.search_ms),
            prepared: AtomicBool::new(false),
        })
    }

    /// Its collection's name.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// How long its vectors are.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The server's version, once it has shown that it takes the key.
    pub async fn check(&self) -> Result<String> {
        self.call(self.patience, || self.client.collection_exists(self.collection.as_str())).await?;
        Ok(self.call(self.patience, || self.client.health_check()).await?.version)
    }

    /// Deletes the collection of a test.
    #[cfg(test)]
    pub async fn delete_collection(&self) -> Result<()> {
        self.call(WRITE_WITHIN, || self.client.delete_collection(self.collection.as_str())).await.map(drop)
    }

    /// Several queries in one round trip, each with its points, best first.
    pub async fn query(&self, queries: Vec<QueryPoints>) -> Result<Vec<Vec<ScoredPoint>>> {
        let named = queries.into_iter().map(|query| QueryPoints { collection_name: self.collection.clone(), ..query });
        let batch = QueryBatchPoints {
            collection_name: self.collection.clone(),
            query_points: named.collect(),
            timeout: Some(self.patience.as_secs().max(1)),
            ..QueryBatchPoints::default()
        };
        let asked = batch.query_points.len();
        let answer = self.call(self.patience, || self.client.query_batch(batch.clone())).await?;
        if answer.result.len() != asked {
            return Err(Error::internal("index_error", "Qdrant answered another number of queries than it was asked."));
        }
        Ok(answer.result.into_iter().map(|batch| batch.result).collect())
    }

    /// How many points there are.
    pub async fn count(&self, filter: Conditions) -> Result<u64> {
        let ask =
            CountPoints { collection_name: self.collection.clone(), filter: Some(filter), exact: Some(true), ..CountPoints::default() };
        Ok(self.call(self.patience, || self.client.count(ask.clone())).await?.result.map_or(0, |result| result.count))
    }

    /// What the mark says; 0 when there is none, or no collection.
    pub async fn revision(&self, mark: PointId) -> Result<Revision> {
        let ask = GetPoints {
            collection_name: self.collection.clone(),
            ids: vec![mark],
            with_payload: Some(true.into()),
            ..GetPoints::default()
        };
        match self.call(self.patience, || self.client.get_points(ask.clone())).await {
            Ok(answer) => Ok(answer.result.first().and_then(|point| points::revision_of(&point.payload)).unwrap_or_default()),
            Err(error) if error.code() == "index_missing" => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Changes of points in one round trip, in order; done when they can be found.
    pub async fn update(&self, operations: Vec<Operation>) -> Result<()> {
        let batch = UpdateBatchPoints {
            collection_name: self.collection.clone(),
            wait: Some(true),
            operations: operations.into_iter().map(|operation| PointsUpdateOperation { operation: Some(operation) }).collect(),
            ..UpdateBatchPoints::default()
        };
        self.call(WRITE_WITHIN, || self.client.update_points_batch(batch.clone())).await.map(drop)
    }

    /// Makes sure that the collection is there and as it should be.
    ///
    /// # Errors
    /// `index_mismatch` when somebody else made it differently.
    pub async fn prepare(&self) -> Result<()> {
        if self.prepared.load(Ordering::Acquire) {
            return Ok(());
        }
        let info = match self.info().await {
            Err(error) if error.code() == "index_missing" => {
                self.create().await?;
                self.info().await?
            }
            info => info?,
        };
        if !self.fits(&info) {
            return Err(Error::invalid(
                "index_mismatch",
                format!(
                    "The collection `{}` on {} is not one of this program: it needs a vector `{DENSE}` of {} numbers compared by cosine, and a sparse one `{SPARSE}` with the IDF modifier. Delete it, or set `qdrant.collection` to another name.",
                    self.collection, self.url, self.dimensions
                ),
            ));
        }
        self.index_payload(&info).await?;
        self.prepared.store(true, Ordering::Release);
        Ok(())
    }

    async fn info(&self) -> Result<CollectionInfo> {
        let answer = self.call(self.patience, || self.client.collection_info(self.collection.as_str())).await?;
        answer.result.ok_or_else(|| Error::internal("index_error", "Qdrant told nothing about its collection."))
    }

    fn fits(&self, info: &CollectionInfo) -> bool {
        let Some(params) = info.config.as_ref().and_then(|config| config.params.as_ref()) else { return false };
        let dense = match params.vectors_config.as_ref().and_then(|config| config.config.as_ref()) {
            Some(VectorsConfigKind::ParamsMap(map)) => map.map.get(DENSE),
            _ => None,
        };
        let sparse = params.sparse_vectors_config.as_ref().and_then(|config| config.map.get(SPARSE));
        dense.is_some_and(|dense| dense.size == self.dimensions as u64 && dense.distance() == Distance::Cosine)
            && sparse.is_some_and(|sparse| sparse.modifier() == Modifier::Idf)
    }

    async fn create(&self) -> Result<()> {
        let dense = VectorParams { size: self.dimensions as u64, distance: Distance::Cosine.into(), ..VectorParams::default() };
        let sparse = SparseVectorParams { modifier: Some(Modifier::Idf.into()), ..SparseVectorParams::default() };
        let create = CreateCollection {
            collection_name: self.collection.clone(),
            vectors_config: Some(VectorsConfig {
                config: Some(VectorsConfigKind::ParamsMap(VectorParamsMap { map: HashMap::from([(DENSE.to_owned(), dense)]) })),
            }),
            sparse_vectors_config: Some(SparseVectorConfig { map: HashMap::from([(SPARSE.to_owned(), sparse)]) }),
            replication_factor: (self.replicas > 0).then_some(self.replicas),
            ..CreateCollection::default()
        };
        match self.call(WRITE_WITHIN, || self.client.create_collection(create.clone())).await {
            // Another node was quicker, or a first try came through after all.
            Err(error) if self.info().await.is_err() => Err(error),
            _ => {
                tracing::info!(collection = self.collection, "made the collection; it is filled from the database");
                Ok(())
            }
        }
    }

    /// What is filtered by has an index; the shop is what points are kept together by.
    async fn index_payload(&self, info: &CollectionInfo) -> Result<()> {
        let keyword = |is_tenant| IndexParams::KeywordIndexParams(KeywordIndexParams { is_tenant, ..KeywordIndexParams::default() });
        let time = IntegerIndexParams { lookup: Some(false), range: Some(true), ..IntegerIndexParams::default() };
        let words = WORDS.map(|field| (field, FieldType::Keyword, keyword(None)));
        let times = TIMES.map(|field| (field, FieldType::Integer, IndexParams::IntegerIndexParams(time.clone())));
        let all = std::iter::once(("tenant", FieldType::Keyword, keyword(Some(true)))).chain(words).chain(times);
        for (field, kind, params) in all.filter(|(field, ..)| !info.payload_schema.contains_key(*field)) {
            let index = CreateFieldIndexCollection {
                collection_name: self.collection.clone(),
                wait: Some(true),
                field_name: field.to_owned(),
                field_type: Some(kind.into()),
                field_index_params: Some(PayloadIndexParams { index_params: Some(params) }),
                ..CreateFieldIndexCollection::default()
            };
            self.call(WRITE_WITHIN, || self.client.create_field_index(index.clone())).await?;
        }
        Ok(())
    }

    /// Makes a call, again after a pause where that may help, all within a time.
    async fn call<T, Answer>(&self, within: Duration, call: impl Fn() -> Answer) -> Result<T>
    where
        Answer: Future<Output = Result<T, QdrantError>>,
    {
        let tries = async {
            let mut pauses = PAUSES.into_iter();
            loop {
                let error = match call().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => self.told(&error),
                };
                match pauses.next().filter(|_| error.retryable() && error.code() != "index_refused" && error.code() != "index_missing") {
                    Some(pause) => sleep(error.retry_after().unwrap_or(pause)).await,
                    None => return Err(error),
                }
            }
        };
        match timeout(within, tries).await {
            Ok(done) => {
                if done.as_ref().is_err_and(|error| error.code() == "index_missing") {
                    self.prepared.store(false, Ordering::Release);
                }
                done
            }
            Err(_) => Err(self.unreachable(&format!("it did not answer within {} ms", within.as_millis()))),
        }
    }

    fn unreachable(&self, why: &str) -> Error {
        Error::unavailable(
            "index_unreachable",
            format!(
                "The index at {} cannot be reached ({why}). Check that Qdrant runs there and that `index` names its gRPC port, 6334.",
                self.url
            ),
        )
    }

    fn told(&self, error: &QdrantError) -> Error {
        let (status, wait) = match error {
            QdrantError::ResponseError { status } => (status, None),
            QdrantError::ResourceExhaustedError { status, retry_after_seconds } => {
                (status, Some(Duration::from_secs(*retry_after_seconds)))
            }
            _ => return Error::internal("index_error", "A request to Qdrant could not be made."),
        };
        let said = format!("{:?}: {}", status.code(), status.message());
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Error::unavailable(
                "index_refused",
                format!("Qdrant at {} refuses the key. Set QDRANT_API_KEY to one that may write the collection.", self.url),
            )
            .because(said),
            Code::NotFound => Error::unavailable(
                "index_missing",
                format!("The collection `{}` is not on {}; a server builds it again from the database.", self.collection, self.url),
            )
            .because(said),
            Code::ResourceExhausted => {
                Error::rate_limited("index_busy", "Qdrant is busy. Try again in a moment.", wait.unwrap_or(PAUSES[1]))
            }
            Code::DeadlineExceeded | Code::Cancelled => self.unreachable("it did not answer in time").because(said),
            Code::Unavailable | Code::Unknown => self.unreachable("the connection failed").because(said),
            Code::Internal if is_connection(status.message()) => self.unreachable("the connection failed").because(said),
            _ => Error::internal("index_error", format!("Qdrant at {} did not do what it was asked; the log says why.", self.url))
                .because(said),
        }
    }
}

/// The client reports a connection that does not come about as `Internal`, like a server's own failure.
fn is_connection(message: &str) -> bool {
    message.starts_with("Failed to connect") || message.contains("transport error")
}
