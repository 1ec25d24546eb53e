/// Sizes that a message may have. `protocol/http.md` §3 states the defaults.
package struct HTTPLimits: Sendable {
    /// Request or status line with its CR LF.
    package var lineBytesMax = 8_192
    /// All field lines together with their CR LF.
    package var headerBytesMax = 32_768
    package var headerFieldsMax = 100
    package var methodBytesMax = 32
    package var chunkExtensionBytesMax = 256
    package var chunkSizeDigitsMax = 16
    /// A body may have this many bytes where nothing narrower is said.
    package var bodyBytesMax = 1_048_576

    package init() {}

    package init(bodyBytesMax: Int) { self.bodyBytesMax = bodyBytesMax }
}
