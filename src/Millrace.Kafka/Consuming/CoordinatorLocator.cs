using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>What is coordinated; the numbers are those of the protocol.</summary>
internal enum CoordinatorKind
{
    Group = 0,
    Transaction = 1,
}

/// <summary>Knows which broker coordinates a group or a transactional id, and finds it again when it has moved.</summary>
internal sealed class CoordinatorLocator(ClientContext context, ConnectionPool pool, MetadataCache metadata, string key, CoordinatorKind kind)
{
    /// <summary>The first version that takes several keys.</summary>
    private const short FirstBatchedVersion = 4;

    /// <summary>The first version that knows transactional ids.</summary>
    private const short FirstTransactionVersion = 1;

    private readonly Lock _gate = new();
    private BrokerAddress? _known;

    private string Name => kind == CoordinatorKind.Group ? $"group '{key}'" : $"transactional id '{key}'";

    /// <summary>The coordinator's address; asks once if it is not known.</summary>
    /// <exception cref="KafkaException">No broker knows it now.</exception>
    public async Task<BrokerAddress> GetAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (_known is { } known)
            {
                return known;
            }
        }

        BrokerAddress found = await FindAsync(cancellationToken);
        lock (_gate)
        {
            _known = found;
        }

        return found;
    }

    /// <summary>Someone found that the coordinator is not there.</summary>
    public void Forget(BrokerAddress address)
    {
        lock (_gate)
        {
            if (_known == address)
            {
                _known = null;
            }
        }
    }

    private async Task<BrokerAddress> FindAsync(CancellationToken cancellationToken)
    {
        var request = new FindCoordinatorRequest { Key = key, KeyType = (sbyte)kind, CoordinatorKeys = [key] };
        KafkaException? lastFailure = null;
        foreach (BrokerAddress address in metadata.Candidates())
        {
            try
            {
                BrokerConnection connection = await pool.GetAsync(address, ConnectionPurpose.General, cancellationToken);
                short version = connection.VersionOf(FindCoordinatorRequest.Api, lowest: kind == CoordinatorKind.Group ? (short)0 : FirstTransactionVersion);
                FindCoordinatorResponse response = await connection.SendAsync<FindCoordinatorRequest, FindCoordinatorResponse>(
                    request, context.Settings.RequestTimeout, cancellationToken, version);
                Coordinator? coordinator = version >= FirstBatchedVersion
                    ? response.Coordinators.Find(candidate => candidate.Key == key)
                    : new Coordinator { Host = response.Host, Port = response.Port, ErrorCode = response.ErrorCode };
                ErrorCode error = coordinator?.ErrorCode ?? ErrorCode.CoordinatorNotAvailable;
                if (error == ErrorCode.None)
                {
                    return new BrokerAddress(coordinator!.Host, coordinator.Port);
                }

                lastFailure = new KafkaBrokerException($"{address} knows no coordinator of {Name}. {KafkaErrors.Describe(error)}", error);
                if (!lastFailure.IsTransient)
                {
                    break;
                }
            }
            catch (KafkaException failure) when (failure.IsTransient || failure is KafkaAuthenticationException)
            {
                // One that refuses the client does not stand for the others.
                lastFailure = failure.IsTransient || lastFailure is null ? failure : lastFailure;
            }
        }

        throw lastFailure ?? new KafkaConnectionException($"No broker could be asked for the coordinator of {Name}.");
    }
}
