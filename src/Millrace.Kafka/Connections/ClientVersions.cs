using System.Collections.Frozen;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>
/// The newest version of an API that this client sends. The definitions go further where a newer version needs more than its fields, such as topics
/// that are named by id.
/// </summary>
internal static class ClientVersions
{
    private static readonly FrozenDictionary<ApiKey, short> Newest = new Dictionary<ApiKey, short>
    {
        [ApiKey.Produce] = 12,
        [ApiKey.Fetch] = 17,
        [ApiKey.ListOffsets] = 11,
        [ApiKey.Metadata] = 13,
        [ApiKey.OffsetCommit] = 9,
        [ApiKey.OffsetFetch] = 9,
        [ApiKey.FindCoordinator] = 4,
        [ApiKey.InitProducerId] = 5,

        // Newer ones are between brokers.
        [ApiKey.AddPartitionsToTxn] = 3,
    }.ToFrozenDictionary();

    public static short NewestOf(ApiDefinition api) => Newest.TryGetValue(api.Key, out short newest) ? Math.Min(newest, api.MaxVersion) : api.MaxVersion;
}
