// One import for programs that compose and run pipelines.
@_exported public import BudgetSelectors
@_exported public import Clusterer
@_exported public import CoresetSelector
@_exported public import Embedder
@_exported public import External
@_exported public import Formatter
@_exported public import RecordFilters
@_exported public import RedundancyFilter
@_exported public import SluiceCore
@_exported public import SluiceEngine
@_exported public import SluicePipeline
@_exported public import TextFilters
