import Embedder
import Formatter
public import SluiceCore

extension Registry {
    /// The stages that come with Sluice: the one place that lists them.
    public static var builtIn: Registry {
        Registry([FormatStage.self, EmbedStage.self])
    }
}
