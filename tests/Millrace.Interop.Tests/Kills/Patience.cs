namespace Millrace.Interop.Tests.Kills;

/// <summary>Settings with which a client of librdkafka comes back soon after the broker does.</summary>
internal static class Patience
{
    public static (string Name, string Value)[] Settings { get; } =
    [
        ("reconnect.backoff.ms", "20"), ("reconnect.backoff.max.ms", "200"), ("retry.backoff.ms", "50"),
        ("socket.timeout.ms", "10000"), ("linger.ms", "1"), ("log_level", "2"),
    ];
}
