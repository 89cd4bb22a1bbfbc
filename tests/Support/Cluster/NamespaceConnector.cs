using System.Collections.Concurrent;
using Millrace.Kafka;
using Millrace.Kafka.Protocol;

namespace Millrace.Tests;

/// <summary>
/// A part of a shared cluster in which a test is alone: every topic, group and transactional id gets a prefix on its way to the brokers, and loses it on
/// its way back. Topics that brokers would create by themselves are created with copies on three brokers, where there are as many.
/// </summary>
internal sealed class NamespaceConnector(TestCluster cluster, int defaultPartitionCount) : IKafkaConnector, IAsyncDisposable
{
    private readonly string _prefix = TestCluster.NewNamespace();
    private readonly TcpKafkaConnector _inner = new();
    private readonly ConcurrentDictionary<string, Task> _created = new();

    public string Prefix => _prefix;

    public TestCluster Cluster => cluster;

    public async ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken) =>
        new Transport(await _inner.ConnectAsync(address, cancellationToken), this);

    /// <summary>Deletes everything in the namespace.</summary>
    public async ValueTask DisposeAsync() => await cluster.DeleteAsync(name => name.StartsWith(_prefix, StringComparison.Ordinal));

    private async ValueTask<FrameBuffer> ChangeAsync(FrameBuffer frame, RequestHeader header, int bodyStart)
    {
        if (header.Key == ApiKey.ApiVersions)
        {
            return frame;
        }

        if (header.Key == ApiKey.CreateTopics)
        {
            await cluster.AllBrokersAsync();
        }

        ApiFrames frames = ApiFrames.Of(header.Key);
        List<string> wanted = [];
        FrameBuffer changed = frames.ChangeRequest(frame.Payload[bodyStart..], header, message =>
        {
            new NameRewriter(frames.Api.IsFlexible(header.Version), name => _prefix + name).Visit(message, header.Version);
            switch (message)
            {
                case MetadataRequest { AllowAutoTopicCreation: true, Topics: { } topics } metadata when cluster.CreatesTopics:
                    metadata.AllowAutoTopicCreation = false;
                    wanted.AddRange(topics.Select(topic => topic.Name).OfType<string>());
                    break;
                case CreateTopicsRequest create:
                    create.Topics.ForEach(cluster.Prepare);
                    break;
            }
        });
        frame.Release();
        foreach (string topic in wanted)
        {
            await _created.GetOrAdd(topic, name => cluster.CreateTopicAsync(
                new CreatableTopic { Name = name, PartitionCount = defaultPartitionCount, ReplicationFactor = -1 }));
        }

        return changed;
    }

    private FrameBuffer Restore(FrameBuffer frame, ApiKey key, short version)
    {
        ApiFrames frames = ApiFrames.Of(key);
        FrameBuffer restored = frames.ChangeResponse(frame.Payload, version, message =>
        {
            switch (message)
            {
                case MetadataResponse metadata:
                    metadata.Topics.RemoveAll(topic => topic.Name?.StartsWith(_prefix, StringComparison.Ordinal) == false);
                    break;
                case ListTransactionsResponse transactions:
                    transactions.TransactionStates.RemoveAll(transaction => !transaction.TransactionalId.StartsWith(_prefix, StringComparison.Ordinal));
                    break;
                case ListGroupsResponse groups:
                    groups.Groups.RemoveAll(group => !group.GroupId.StartsWith(_prefix, StringComparison.Ordinal));
                    break;
            }

            new NameRewriter(frames.Api.IsFlexible(version), name => name.StartsWith(_prefix, StringComparison.Ordinal) ? name[_prefix.Length..] : name)
                .Visit(message, version);
        });

        frame.Release();
        return restored;
    }

    private sealed class Transport(IKafkaTransport inner, NamespaceConnector owner) : IKafkaTransport
    {
        private readonly ConcurrentDictionary<int, (ApiKey Key, short Version)> _asked = new();

        public async ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out int bodyStart, out string? error), error);
            if (header.Key != ApiKey.ApiVersions)
            {
                _asked[header.CorrelationId] = (header.Key, header.Version);
            }

            await inner.SendAsync(await owner.ChangeAsync(frame, header, bodyStart), cancellationToken);
        }

        public async ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken)
        {
            FrameBuffer frame = await inner.ReceiveAsync(cancellationToken);
            return MessageCodec.TryReadCorrelationId(frame.Payload, out int correlationId) && _asked.TryRemove(correlationId, out (ApiKey Key, short Version) asked)
                ? owner.Restore(frame, asked.Key, asked.Version)
                : frame;
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
