using Millrace.Log;

namespace Millrace;

/// <summary>The broker inside the application.</summary>
public sealed class EmbeddedOptions
{
    /// <summary>
    /// The directory that keeps everything: messages, positions, topics. It is created where it is missing; one process at
    /// a time uses it. A relative path starts at the working directory. Default: <c>data</c>.
    /// </summary>
    public string DataDirectory { get; set; } = "data";

    /// <summary>
    /// Where other programs reach the broker, as <c>address:port</c>, for example <c>127.0.0.1:9092</c>: any Kafka client
    /// can connect. Whoever reaches the address can read and write everything. Port 0 takes a free port, which
    /// <see cref="EmbeddedBroker.ListenEndPoint"/> tells. Default: null, which serves this process only.
    /// </summary>
    public string? Listen { get; set; }

    /// <summary>
    /// The storage seam: what stands in for the files of the data directory, as the simulated disk of a test does.
    /// Default null: files.
    /// </summary>
    public IStorage? Storage { get; set; }
}
