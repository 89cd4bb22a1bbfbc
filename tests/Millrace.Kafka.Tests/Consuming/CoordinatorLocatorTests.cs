using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

public sealed class CoordinatorLocatorTests
{
    private static readonly BrokerAddress One = new("one", 1);
    private static readonly BrokerAddress Two = new("two", 2);

    [Theory]
    [InlineData((int)CoordinatorKind.Group)]
    [InlineData((int)CoordinatorKind.Transaction)]
    public async Task One_broker_that_refuses_does_not_keep_the_coordinator_from_being_found_by_another(int kind)
    {
        // Which broker is asked first is chance.
        var refused = new Refusing(Two);
        for (int seed = 1; seed <= 8; seed++)
        {
            await using Parts parts = Create(refused, seed);
            Assert.Equal(One, await parts.Locate((CoordinatorKind)kind).GetAsync(Until.Timeout()));
        }

        Assert.NotEqual(0, refused.Count);
    }

    [Fact]
    public async Task When_all_brokers_refuse_it_is_said_so()
    {
        await using Parts parts = Create(new Refusing(One, Two), seed: 1);
        await Assert.ThrowsAsync<KafkaAuthenticationException>(() => parts.Locate(CoordinatorKind.Group).GetAsync(Until.Timeout()));
    }

    private static Parts Create(Refusing network, int seed)
    {
        var options = new KafkaClientOptions { BootstrapServers = "one:1,two:2" };
        var context = new ClientContext(ClientSettings.From(options), network, TimeProvider.System, NullLoggerFactory.Instance, new Chance(new Random(seed)));
        var pool = new ConnectionPool(context);
        return new Parts(context, pool, new MetadataCache(context, pool));
    }

    private sealed record Parts(ClientContext Context, ConnectionPool Pool, MetadataCache Metadata) : IAsyncDisposable
    {
        public CoordinatorLocator Locate(CoordinatorKind kind) => new(Context, Pool, Metadata, "orders", kind);

        public async ValueTask DisposeAsync()
        {
            await Metadata.DisposeAsync();
            await Pool.DisposeAsync();
        }
    }

    /// <summary>Brokers of which some refuse the client; the others say that they coordinate everything.</summary>
    private sealed class Refusing(params BrokerAddress[] refusing) : IKafkaConnector
    {
        public int Count { get; private set; }

        public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
        {
            if (!refusing.Contains(address))
            {
                return new ValueTask<IKafkaTransport>(new Transport(address));
            }

            Count++;
            throw new KafkaAuthenticationException($"{address} is not trusted.", address, "TLS");
        }
    }

    private sealed class Transport(BrokerAddress address) : AnsweringTransport
    {
        public override ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out _, out string? error), error);
            if (header.Key == ApiKey.ApiVersions)
            {
                Answer(ApiVersionsRequest.Api, header, AllVersions());
            }
            else
            {
                Assert.Equal(ApiKey.FindCoordinator, header.Key);
                Answer(FindCoordinatorRequest.Api, header, new FindCoordinatorResponse { Coordinators = [new Coordinator { Key = "orders", Host = address.Host, Port = address.Port }] });
            }

            return ValueTask.CompletedTask;
        }
    }
}
