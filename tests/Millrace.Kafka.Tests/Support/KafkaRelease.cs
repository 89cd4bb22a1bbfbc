using System.Collections.Frozen;
using System.Threading.Channels;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>Which versions a release of Apache Kafka offers; what is not listed it does not have.</summary>
internal sealed class KafkaRelease
{
    private readonly FrozenDictionary<ApiKey, (short Min, short Max)> _ranges;

    private KafkaRelease(Dictionary<ApiKey, (short Min, short Max)> ranges) => _ranges = ranges.ToFrozenDictionary();

    /// <summary>The oldest that the client supports.</summary>
    public static KafkaRelease V24 { get; } = new(new Dictionary<ApiKey, (short, short)>
    {
        [ApiKey.Produce] = (0, 8),
        [ApiKey.Fetch] = (0, 11),
        [ApiKey.ListOffsets] = (0, 5),
        [ApiKey.Metadata] = (0, 9),
        [ApiKey.OffsetCommit] = (0, 8),
        [ApiKey.OffsetFetch] = (0, 6),
        [ApiKey.FindCoordinator] = (0, 3),
        [ApiKey.JoinGroup] = (0, 6),
        [ApiKey.Heartbeat] = (0, 4),
        [ApiKey.LeaveGroup] = (0, 4),
        [ApiKey.SyncGroup] = (0, 4),
        [ApiKey.DescribeGroups] = (0, 5),
        [ApiKey.ListGroups] = (0, 3),
        [ApiKey.ApiVersions] = (0, 3),
        [ApiKey.CreateTopics] = (0, 5),
        [ApiKey.DeleteTopics] = (0, 4),
        [ApiKey.DeleteRecords] = (0, 1),
        [ApiKey.InitProducerId] = (0, 2),
        [ApiKey.OffsetForLeaderEpoch] = (0, 3),
        [ApiKey.AddPartitionsToTxn] = (0, 1),
        [ApiKey.AddOffsetsToTxn] = (0, 1),
        [ApiKey.EndTxn] = (0, 1),
        [ApiKey.WriteTxnMarkers] = (0, 0),
        [ApiKey.TxnOffsetCommit] = (0, 2),
        [ApiKey.DescribeAcls] = (0, 1),
        [ApiKey.CreateAcls] = (0, 1),
        [ApiKey.DeleteAcls] = (0, 1),
        [ApiKey.DescribeConfigs] = (0, 2),
        [ApiKey.AlterConfigs] = (0, 1),
        [ApiKey.AlterReplicaLogDirs] = (0, 1),
        [ApiKey.DescribeLogDirs] = (0, 1),
        [ApiKey.CreatePartitions] = (0, 1),
        [ApiKey.DeleteGroups] = (0, 2),
        [ApiKey.ElectLeaders] = (0, 2),
        [ApiKey.IncrementalAlterConfigs] = (0, 1),
        [ApiKey.AlterPartitionReassignments] = (0, 0),
        [ApiKey.ListPartitionReassignments] = (0, 0),
        [ApiKey.OffsetDelete] = (0, 0),
    });

    /// <summary>The one that has given up the versions of before 2.1 (KIP-896).</summary>
    public static KafkaRelease V43 { get; } = new(new Dictionary<ApiKey, (short, short)>
    {
        [ApiKey.Produce] = (3, 13),
        [ApiKey.Fetch] = (4, 17),
        [ApiKey.ListOffsets] = (1, 11),
        [ApiKey.Metadata] = (0, 13),
        [ApiKey.OffsetCommit] = (2, 10),
        [ApiKey.OffsetFetch] = (1, 10),
        [ApiKey.FindCoordinator] = (0, 6),
        [ApiKey.JoinGroup] = (2, 9),
        [ApiKey.Heartbeat] = (0, 4),
        [ApiKey.LeaveGroup] = (0, 5),
        [ApiKey.SyncGroup] = (0, 5),
        [ApiKey.DescribeGroups] = (0, 6),
        [ApiKey.ListGroups] = (0, 5),
        [ApiKey.ApiVersions] = (0, 4),
        [ApiKey.CreateTopics] = (2, 7),
        [ApiKey.DeleteTopics] = (1, 6),
        [ApiKey.DeleteRecords] = (0, 2),
        [ApiKey.InitProducerId] = (0, 5),
        [ApiKey.OffsetForLeaderEpoch] = (2, 4),
        [ApiKey.AddPartitionsToTxn] = (0, 5),
        [ApiKey.AddOffsetsToTxn] = (0, 4),
        [ApiKey.EndTxn] = (0, 5),
        [ApiKey.WriteTxnMarkers] = (1, 2),
        [ApiKey.TxnOffsetCommit] = (0, 5),
        [ApiKey.DescribeAcls] = (1, 3),
        [ApiKey.CreateAcls] = (1, 3),
        [ApiKey.DeleteAcls] = (1, 3),
        [ApiKey.DescribeConfigs] = (1, 4),
        [ApiKey.AlterConfigs] = (0, 2),
        [ApiKey.AlterReplicaLogDirs] = (1, 2),
        [ApiKey.DescribeLogDirs] = (1, 4),
        [ApiKey.CreatePartitions] = (0, 3),
        [ApiKey.DeleteGroups] = (0, 2),
        [ApiKey.ElectLeaders] = (0, 2),
        [ApiKey.IncrementalAlterConfigs] = (0, 1),
        [ApiKey.AlterPartitionReassignments] = (0, 1),
        [ApiKey.ListPartitionReassignments] = (0, 0),
        [ApiKey.OffsetDelete] = (0, 0),
        [ApiKey.DescribeClientQuotas] = (0, 1),
        [ApiKey.AlterClientQuotas] = (0, 1),
        [ApiKey.DescribeUserScramCredentials] = (0, 0),
        [ApiKey.AlterUserScramCredentials] = (0, 0),
        [ApiKey.DescribeCluster] = (0, 2),
        [ApiKey.DescribeProducers] = (0, 0),
        [ApiKey.DescribeTransactions] = (0, 0),
        [ApiKey.ListTransactions] = (0, 2),
        [ApiKey.DescribeTopicPartitions] = (0, 0),
    });

    public (short Min, short Max)? RangeOf(ApiKey api) => _ranges.TryGetValue(api, out (short Min, short Max) range) ? range : null;

    public bool Has(ApiKey api) => _ranges.ContainsKey(api);

    /// <summary>Brokers that answer ApiVersions as this release does, and refuse to carry a request that it would not.</summary>
    public IKafkaConnector Limit(IKafkaConnector connector) => new Connector(this, connector);

    private sealed class Connector(KafkaRelease release, IKafkaConnector inner) : IKafkaConnector
    {
        public async ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken) =>
            new Transport(release, await inner.ConnectAsync(address, cancellationToken));
    }

    private sealed class Transport(KafkaRelease release, IKafkaTransport inner) : IKafkaTransport
    {
        private readonly Channel<FrameBuffer> _answers = Channel.CreateUnbounded<FrameBuffer>();

        public ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out _, out string? error), error);
            if (header.Key == ApiKey.ApiVersions)
            {
                var response = new ApiVersionsResponse
                {
                    ApiKeys = [.. release._ranges.Select(range => new ApiVersionRange { Key = range.Key, MinVersion = range.Value.Min, MaxVersion = range.Value.Max })],
                };
                _answers.Writer.TryWrite(MessageCodec.WriteResponse(response, ApiVersionsRequest.Api, header.Version, header.CorrelationId));
                return ValueTask.CompletedTask;
            }

            Assert.True(
                release.RangeOf(header.Key) is { } range && header.Version >= range.Min && header.Version <= range.Max,
                $"{header.Key} goes out in version {header.Version}.");
            return inner.SendAsync(frame, cancellationToken);
        }

        public ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken) =>
            _answers.Reader.TryRead(out FrameBuffer? answer) ? new ValueTask<FrameBuffer>(answer) : inner.ReceiveAsync(cancellationToken);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
