using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core;
using RecBackend.Core.Items;
using RecBackend.Grains.Models;

namespace RecBackend.Cluster.Tests.Models;

[Collection(BackingCollection.Name)]
public sealed class ModelClusterTests(Backing backing)
{
    [Fact]
    public async Task Silo_that_does_not_hear_of_the_decision_switches_when_it_does_and_blocks_nothing()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 3);
        cluster[0].HoldLoad();
        var change = cluster.ActivateAsync(leader: 1, bundle: 2);
        await cluster.ReadyAsync(silo: 2);
        cluster[2].IsCutOff = true;
        cluster[0].Open();
        await cluster.FollowsAsync(0, 2, 1);
        Assert.Equal("bundle-1", cluster.Models(2).Status.Active);

        cluster[2].IsCutOff = false;
        await change;
        await cluster.FollowsAsync(2, 2, 1);
        await cluster.ActivateAsync(leader: 2, bundle: 3);
        await AllAsync(cluster, 3, 2);
    }

    [Fact]
    public async Task Silo_that_does_not_hear_that_a_change_is_given_up_stays_and_blocks_nothing()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 3);
        cluster[0].HoldLoad();
        using var stop = new CancellationTokenSource();
        var change = cluster.ActivateAsync(leader: 1, bundle: 2, stop.Token);
        await cluster.ReadyAsync(silo: 2);
        cluster[2].IsCutOff = true;
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => change);
        Assert.Equal(ChangePhase.GivenUp, (await cluster.RecordAsync(0)).Change!.Phase);

        cluster[2].IsCutOff = false;
        cluster[0].Open();
        await cluster.ActivateAsync(leader: 2, bundle: 3);
        await AllAsync(cluster, 3, 1);
    }

    [Fact]
    public async Task Silo_that_missed_a_change_rolls_back_to_what_is_on_record_and_drops_nobodys_representations()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 3);
        cluster[0].HoldLoad();
        var change = cluster.ActivateAsync(leader: 1, bundle: 2);
        await cluster.ReadyAsync(silo: 2);

        // It has heard neither of the decision nor of its own delay when the next change has begun: it goes from the first bundle to the third.
        cluster[2].IsCutOff = true;
        cluster[0].Open();
        await change;
        await cluster.Items(0).SetRepresentationsAsync([new("i1", new("bundle-2", [2, 77, 0, 0], RepresentationSource.External), null)], default);
        cluster[0].HoldLoad();
        change = cluster.ActivateAsync(leader: 1, bundle: 3);
        await cluster.PhaseAsync(0, ChangePhase.Preparing);
        cluster[2].IsCutOff = false;
        await cluster.ReadyAsync(silo: 2);
        cluster[0].Open();
        await change;
        await AllAsync(cluster, 3, 2);

        await cluster.RollBackAsync(leader: 1, from: 3);
        await AllAsync(cluster, 2, 3);
        var record = await cluster.Items(0).GetAsync("i1", default);
        Assert.Equal([2, 77, 0, 0], record!.RepresentationFor("bundle-2")!.Values);
        Assert.All(Enumerable.Range(0, 3), silo => Assert.Equal(77, Row(cluster, silo, "i1")![3]));
    }

    [Fact]
    public async Task Representations_of_bundles_that_are_not_on_record_are_dropped_once_all_have_switched()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 2);
        await cluster.ActivateAsync(leader: 0, bundle: 2);
        await cluster.ActivateAsync(leader: 1, bundle: 3);
        var record = await cluster.Items(0).GetAsync("i1", default);
        Assert.Equal(["bundle-2", "bundle-3"], record!.Representations.Select(one => one.Bundle).Order());
        Assert.Equal(ChangePhase.Closed, (await cluster.RecordAsync(0)).Change!.Phase);
    }

    [Fact]
    public async Task Silo_that_joins_during_a_change_switches_with_the_others()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 2);
        cluster[0].HoldLoad();
        var change = cluster.ActivateAsync(leader: 1, bundle: 2);
        await cluster.PhaseAsync(0, ChangePhase.Preparing);
        await cluster.JoinAsync();
        await cluster.ServeAsync(2);
        Assert.Equal(("bundle-1", false), (cluster.Models(2).Status.Active, cluster.Follower(2).IsBehind));

        cluster[0].Open();
        await change;
        Assert.Equal("bundle-2", cluster.Models(2).Status.Active);
        await AllAsync(cluster, 2, 1);
    }

    [Fact]
    public async Task Silo_whose_models_start_while_a_change_is_made_serves_none_but_the_new_one()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 2);
        await cluster.JoinAsync();
        await cluster.LearnAsync(2);
        await cluster.ActivateAsync(leader: 1, bundle: 2);
        Assert.Equal(("bundle-1", true), (cluster.Models(2).Status.Active, cluster.Follower(2).IsBehind));

        await cluster.Follower(2).JoinAsync(default);
        Assert.Equal(("bundle-2", false), (cluster.Models(2).Status.Active, cluster.Follower(2).IsBehind));
    }

    [Fact]
    public async Task Silo_that_cannot_load_the_clusters_model_serves_the_one_before_it_and_is_not_ready()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 2);
        await cluster.ActivateAsync(leader: 0, bundle: 2);
        await cluster.JoinAsync();
        cluster[2].Broken = "bundle-2";
        await cluster.ServeAsync(2);
        Assert.Equal(("bundle-1", true), (cluster.Models(2).Status.Active, cluster.Follower(2).IsBehind));

        cluster[2].Broken = null;
        await cluster.FollowsAsync(2, 2, 1);
    }

    [Fact]
    public async Task Death_of_the_leader_before_the_decision_leaves_the_old_model_and_blocks_nothing()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 3);
        cluster[0].HoldLoad();
        var change = cluster.ActivateAsync(leader: 1, bundle: 2);
        await cluster.ReadyAsync(silo: 2);
        await cluster.KillAsync(1);
        await Record.ExceptionAsync(() => change);
        await cluster.PhaseAsync(0, ChangePhase.GivenUp);

        cluster[0].Open();
        await cluster.ActivateAsync(leader: 2, bundle: 3);
        Assert.Equal(("bundle-3", "bundle-1"), (cluster.Models(0).Status.Active, cluster.Models(0).Status.Previous));
        Assert.Equal("bundle-3", cluster.Models(2).Status.Active);
    }

    [Fact]
    public async Task Death_of_the_leader_after_the_decision_and_before_its_own_switch_holds_nobody_up()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 3);
        cluster[1].HoldSwitch();
        var change = cluster.ActivateAsync(leader: 1, bundle: 2);
        await ModelCluster.UntilAsync(() => Task.FromResult(cluster[1].IsHeld));
        await cluster.FollowsAsync(0, 2, 1);
        await cluster.FollowsAsync(2, 2, 1);
        Assert.Equal("bundle-1", cluster.Models(1).Status.Active);

        await cluster.KillAsync(1);
        await Record.ExceptionAsync(() => change);
        await cluster.PhaseAsync(0, ChangePhase.Closed);
        await cluster.ActivateAsync(leader: 2, bundle: 3);
        Assert.Equal(("bundle-3", "bundle-2"), (cluster.Models(0).Status.Active, cluster.Models(0).Status.Previous));
    }

    [Fact]
    public async Task Two_changes_at_once_are_one_after_the_other_or_refused()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 2);
        cluster[0].HoldLoad();
        var first = cluster.ActivateAsync(leader: 1, bundle: 2);
        await cluster.PhaseAsync(0, ChangePhase.Preparing);
        var refused = await Assert.ThrowsAsync<OperationRefusedException>(() => cluster.ActivateAsync(leader: 0, bundle: 3));
        Assert.Equal("activation_in_progress", refused.Code);
        cluster[0].Open();
        await first;
        await AllAsync(cluster, 2, 1);
    }

    [Fact]
    public async Task No_silo_switches_to_a_catalogue_that_lacks_what_was_lost_on_the_way()
    {
        await using var cluster = await ModelCluster.StartAsync(backing, silos: 3, items: 40, losesMessages: true);
        for (var bundle = 1; bundle <= 2; bundle++)
        {
            if (bundle == 2)
            {
                await cluster.ActivateAsync(leader: 2, bundle);
            }

            Assert.All(Enumerable.Range(0, 3), silo => Assert.All(Enumerable.Range(0, 40), item => Assert.Equal(item, Row(cluster, silo, $"i{item}")?[3])));
        }
    }

    private static async Task AllAsync(ModelCluster cluster, int active, int previous)
    {
        for (var silo = 0; silo < cluster.Count; silo++)
        {
            await cluster.FollowsAsync(silo, active, previous);
        }

        var record = await cluster.RecordAsync(0);
        Assert.Equal((ModelCluster.Version(active), ModelCluster.Version(previous)), (record.Active, record.Previous));
    }

    /// <summary>ID embedding (2) and representation (4) of an item in the catalogue that answers, or null.</summary>
    private static float[]? Row(ModelCluster cluster, int silo, string item)
    {
        using var lease = cluster.Models(silo).Lease();
        var row = new float[6];
        return lease.Catalog.TryGetRow(System.Text.Encoding.UTF8.GetBytes(item), row) ? row : null;
    }
}
