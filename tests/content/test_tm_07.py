"""Everything that page tm-07 says PyTorch does, done; and the numbers of its figures."""

import doctest
import gc
import math
import re
import threading
from pathlib import Path

import pytest
import torch
from torch.autograd.gradcheck import GradcheckError
from torch.utils.checkpoint import checkpoint

from scripts.dl import torch_examples
from scripts.dl.torch_examples import Swish, hessian_times, incoming_edges, jvp_by_two_vjps, run_backward
from scripts.figures import tm_07
from scripts.figures.tm_07 import LiveBytes

PAGE = Path(__file__).resolve().parents[2] / "docs/theory-minimum/07-pytorch-autograd.md"
KIBIBYTE = 1024


def leaf(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


# The code on the page


def test_sessions_print_what_the_page_shows():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.testmod(torch_examples, optionflags=flags)
    assert results.failed == 0
    assert results.attempted > 20


def test_every_code_block_is_taken_from_the_tested_module():
    fences = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(fences) == 7
    assert all(fence.startswith('--8<-- "scripts/dl/torch_examples.py:') for fence in fences)


# The graph


def test_graph_of_a_sum_of_squares():
    x = leaf(1.0, 2.0, 3.0)
    y = (x * x).sum()
    mul = y.grad_fn.next_functions[0][0]
    ends = [node for node, _ in mul.next_functions]
    names = [node.name().rpartition("::")[2] for node in (y.grad_fn, mul, *ends)]
    assert names == ["SumBackward0", "MulBackward0", "AccumulateGrad", "AccumulateGrad"]
    assert ends[0] is ends[1]
    assert ends[0].variable is x
    assert incoming_edges(y.grad_fn)[ends[0]] == 2


def test_inputs_without_gradient_have_no_edge():
    y = leaf(1.0) * torch.ones(1, dtype=torch.float64)
    assert y.grad_fn.next_functions[1][0] is None


def saved_by(function, *inputs) -> set[int]:
    """Addresses of the memory that the graph of `function(*inputs)` keeps."""
    kept = set()

    def pack(tensor):
        kept.add(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        return kept, function(*inputs)


def test_what_operations_save():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    assert saved_by(torch.add, x, y)[0] == set()
    assert saved_by(torch.sum, x)[0] == set()
    assert saved_by(torch.mul, x, y)[0] == {x.data_ptr(), y.data_ptr()}
    for function in (torch.tanh, torch.exp):
        kept, result = saved_by(function, x)
        assert kept == {result.data_ptr()}


def test_sum_remembers_the_shape_only():
    assert leaf(1.0, 2.0, 3.0).sum().grad_fn._saved_self_sym_sizes == (3,)


def test_only_the_executed_branch_is_in_the_graph():
    def branch(x):
        return x.exp() if x > 0 else x * 5

    assert branch(leaf(1.0)).grad_fn.name() == "ExpBackward0"
    assert branch(leaf(-1.0)).grad_fn.name() == "MulBackward0"


def test_graph_is_built_anew():
    x = leaf(1.0)
    assert (x * x).grad_fn is not (x * x).grad_fn


def test_node_graph_of_the_figure():
    graph = tm_07.network_graph()
    names = [node.name.removesuffix("Backward0") for node in graph.nodes]
    assert names == [
        "NllLoss", "LogSoftmax", "Add", "Addmm", "AccumulateGrad", "T", "AccumulateGrad", "Tanh", "Addmm",
        "AccumulateGrad", "T", "AccumulateGrad",
    ]  # fmt: skip
    assert len(graph.nodes) == 12
    tanh = graph.nodes[7]
    assert tanh.edges_in == 2
    assert [node.parameter for node in graph.nodes if node.parameter] == ["b^2", "W^2", "b^1", "W^1"]
    upper, lower = graph.nodes[3], graph.nodes[8]
    assert set(upper.saved) == {"mat1", "mat2"}
    assert set(lower.saved) == {"mat1"}  # no weights: the data need no gradient
    assert {consumer for consumer, operand in graph.edges if operand == 7} == {2, 3}


def test_nodes_of_the_figure_stand_where_its_edges_expect():
    assert len(tm_07.NODE_PLACES) == len(tm_07.network_graph().nodes)


# The engine


def test_own_engine_calls_the_same_nodes_in_the_same_order_to_the_last_bit():
    loss, parameters = tm_07.network_loss()
    order = [node.name().rpartition("::")[2] for node in run_backward(loss.grad_fn, torch.ones(()))]
    assert order == [node.name for node in tm_07.network_graph().nodes]
    again, expected = tm_07.network_loss()
    again.backward()
    for name, parameter in parameters.items():
        assert torch.equal(parameter.grad, expected[name].grad)


def test_accumulate_grad_comes_before_everything_else_that_is_ready():
    x = leaf(1.0)
    y = x * 2
    assert y.grad_fn.next_functions[0][0]._sequence_nr() == 2**64 - 1
    assert (y * 2).grad_fn._sequence_nr() > y.grad_fn._sequence_nr()


def test_node_with_two_consumers_is_called_once():
    x = leaf(2.0)
    h, calls = x * 3, []
    h.grad_fn.register_prehook(lambda grads: calls.append(grads[0].item()))
    (h.exp() * h).sum().backward()
    assert len(calls) == 1


def test_unreachable_consumers_are_not_waited_for():
    x, w = leaf(2.0), leaf(5.0)
    h = x * 3
    unused = h * w  # a consumer of h that does not lead to the loss
    (h * h).backward()
    assert x.grad.item() == 36.0
    assert w.grad is None
    assert unused.requires_grad


def test_second_backward_raises_unless_the_graph_is_retained():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]  # accumulated, not overwritten
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.backward()


def test_a_graph_that_saves_nothing_may_be_walked_twice():
    x = leaf(1.0)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert x.grad.item() == 2.0


def test_vector_output_needs_a_gradient_and_gives_the_vjp():
    x, q = leaf(1.0, 2.0, 3.0), torch.tensor([1.0, -1.0], dtype=torch.float64)
    A = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (A @ x).backward()
    (A @ x).backward(gradient=q)
    assert torch.equal(x.grad, A.T @ q)


def test_grad_returns_and_leaves_the_leaves_alone():
    x, w = leaf(3.0), leaf(4.0)
    y = x * w
    assert torch.autograd.grad(y, x, retain_graph=True)[0].item() == 4.0
    assert x.grad is None
    with pytest.raises(RuntimeError, match="allow_unused"):
        torch.autograd.grad(x * 2, w)


def test_memory_of_the_figure():
    plain, saving = tm_07.memory(False), tm_07.memory(True)
    for data, at_the_turn, peak in ((plain, 1024, 1280), (saving, 256, 576)):
        assert round(data.activations[data.forward - 1] / KIBIBYTE) == at_the_turn
        assert round(max(data.activations) / KIBIBYTE) == peak
        assert data.activations[-1] < KIBIBYTE  # the loss alone
    assert tm_07.ROWS * tm_07.SIDE * 4 == 64 * KIBIBYTE
    assert plain.gradients == sorted(plain.gradients)
    assert plain.gradients[-1] == saving.gradients[-1] == tm_07.DEPTH * (tm_07.SIDE**2 + tm_07.SIDE) * 4


# Leaves and hooks


def test_leaves():
    assert torch.nn.Parameter(torch.ones(2)).is_leaf
    assert torch.ones(2).is_leaf
    assert torch.ones(2).mul(3).is_leaf  # nothing here needs a gradient
    assert not torch.ones(2, requires_grad=True).to(torch.float64).is_leaf
    assert (leaf(1.0) + torch.ones(1)).requires_grad


@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_only_leaves_and_those_who_ask_get_grad():
    x = leaf(1.0)
    silent = x * 2
    asking = silent * 3
    asking.retain_grad()
    asking.backward()
    assert silent.grad is None
    assert asking.grad.item() == 1.0
    assert x.grad.item() == 6.0


def test_integers_cannot_require_gradients_and_complex_numbers_can():
    with pytest.raises(RuntimeError, match="only Tensors of floating point"):
        torch.tensor([1]).requires_grad_()
    assert torch.tensor(1j).requires_grad_().requires_grad


def test_hooks_are_called_in_the_documented_order():
    x, log = leaf(2.0), []
    h = x * 3
    h.grad_fn.register_hook(lambda i, o: log.append("after"))
    h.grad_fn.register_prehook(lambda g: log.append("before"))
    h.register_hook(lambda g: log.append("tensor"))
    x.register_hook(lambda g: log.append("leaf"))
    x.register_post_accumulate_grad_hook(lambda p: log.append("accumulated"))
    (h * h).backward()
    assert log == ["tensor", "before", "after", "leaf", "accumulated"]


def test_module_hooks_see_values_and_adjoints():
    layer, log = torch.nn.Linear(2, 1), {}
    layer.register_forward_hook(lambda m, i, o: log.update(forward=(i[0].shape, o.shape)))
    layer.register_full_backward_hook(lambda m, i, o: log.update(backward=(i[0].shape, o[0].shape)))
    layer(torch.ones(4, 2, requires_grad=True)).sum().backward()
    assert log == {"forward": ((4, 2), (4, 1)), "backward": ((4, 2), (4, 1))}


def largest_gradients(step_in_hook: bool) -> int:
    torch.manual_seed(0)
    network = torch.nn.Sequential(*[torch.nn.Linear(64, 64) for _ in range(8)])
    optimizers = {p: torch.optim.SGD([p], lr=0.1) for p in network.parameters()}

    def step(parameter):
        optimizers[parameter].step()
        parameter.grad = None

    if step_in_hook:
        for parameter in network.parameters():
            parameter.register_post_accumulate_grad_hook(step)
    with LiveBytes(list(network.parameters())) as live:
        network(torch.randn(4, 64)).sum().backward()
        live.write_down()
    return max(live.gradients)


def test_step_inside_the_hook_never_holds_all_gradients():
    assert largest_gradients(False) == 8 * (64 * 64 + 64) * 4
    assert largest_gradients(True) <= 64 * 64 * 4


def test_saved_tensors_hooks_may_change_the_storage():
    x = leaf(1.0, 2.0)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.half(), lambda t: t.double()):
        y = (x * x).sum()
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


# Switching the recording off


def test_detach_shares_memory_and_version_but_data_hides_it():
    x = leaf(1.0).exp()
    for view, seen in ((x.detach(), True), (x.data, False)):
        assert view.data_ptr() == x.data_ptr()
        assert view.grad_fn is None
        before = x._version
        view.add_(1)
        assert (x._version > before) == seen


def test_no_grad_records_nothing_but_keeps_versions():
    w = torch.nn.Parameter(torch.ones(2))
    with torch.no_grad():
        assert not (w * 2).requires_grad
        assert torch.nn.Parameter(torch.ones(1)).requires_grad
        before = w._version
        w.add_(1)
    assert w._version == before + 1
    with torch.no_grad():
        constant = w * 2
    (constant * w).sum().backward()
    assert torch.equal(w.grad, constant)


def test_no_grad_is_of_this_thread_only():
    states = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: states.append(torch.is_grad_enabled()))
        thread.start()
        thread.join()
    assert states == [True]


def test_inference_tensors():
    w = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        t = torch.ones(3) * 2
    with pytest.raises(RuntimeError, match="do not track version counter"):
        _ = t._version
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        _ = t * w
    with pytest.raises(RuntimeError, match="Setting requires_grad=True on inference tensor"):
        t.requires_grad_()
    assert (t + w).sum().item() == 9.0  # addition saves nothing
    assert (t.clone() * w).requires_grad
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor"):
        t.add_(1)


def test_eval_does_not_switch_gradients_off():
    assert torch.nn.Linear(2, 2).eval()(torch.ones(1, 2)).requires_grad


def frozen_halves() -> dict[str, int]:
    """Activations kept for backward, in KiB, with the lower or the upper half of a network frozen."""
    kept = {}
    for frozen in ("none", "lower", "upper"):
        layers = [torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Tanh()) for _ in range(8)]
        halves = {"none": [], "lower": layers[:4], "upper": layers[4:]}
        for layer in halves[frozen]:
            layer.requires_grad_(False)
        network = torch.nn.Sequential(*layers)
        with LiveBytes(list(network.parameters())) as live:
            output = network(torch.randn(256, 64))
            live.write_down()
        kept[frozen] = live.activations[-1] // (64 * KIBIBYTE)
        del output
    return kept


def test_freezing_the_lower_half_saves_more():
    kept = frozen_halves()
    assert kept["lower"] < kept["upper"] <= kept["none"]


# In-place changes


def test_the_in_place_pair():
    x = leaf(1.0, 2.0)
    (x * 2).add_(1).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    y = x.exp()
    y.add_(1)
    message = (
        r"one of the variables needed for gradient computation has been modified by an inplace operation: "
        r"\[torch.DoubleTensor \[2\]\], which is output 0 of Exp.*, is at version 1; expected version 0 instead"
    )
    with pytest.raises(RuntimeError, match=message):
        y.sum().backward()


def test_relu_in_place_after_linear_and_after_tanh():
    x, layer = torch.randn(3, 2, requires_grad=True), torch.nn.Linear(2, 2)
    layer(x).relu_().sum().backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        x.tanh().relu_().sum().backward()


def test_data_silently_spoils_the_gradient():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.data.add_(1)
    y.sum().backward()
    assert torch.allclose(x.grad, x.detach().exp() + 1)


def test_leaves_may_not_be_changed_in_place():
    w = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        w.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        w[0] = 1


def test_writing_into_a_part_puts_copy_slices_into_the_graph():
    w = leaf(1.0, 2.0)
    y = w * 2
    y[0] = 5
    assert type(y.grad_fn).__name__ == "CopySlices"
    y.sum().backward()
    assert w.grad.tolist() == [0.0, 2.0]


def test_optimizer_step_between_two_backwards_is_caught():
    w = torch.nn.Parameter(torch.randn(3, 3))
    loss = (torch.randn(2, 3, requires_grad=True) @ w).sum()
    loss.backward(retain_graph=True)
    torch.optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_two_losses_with_a_common_trunk_are_summed():
    x = leaf(1.0)
    h = x.exp()
    first, second = h * h, h.sin()
    first.backward()
    with pytest.raises(RuntimeError, match="a second time"):
        second.backward()
    x.grad = None
    h = x.exp()
    (h * h + h.sin()).backward()
    assert x.grad.item() == pytest.approx((2 * h * h + h * h.cos()).item())


def test_hidden_state_leads_into_the_freed_graph_unless_detached():
    def train(cut):
        w, h = leaf(0.5), torch.ones(1, dtype=torch.float64)
        for _ in range(2):
            h = torch.tanh(w * cut(h))
            h.backward()
        return w.grad

    with pytest.raises(RuntimeError, match="a second time"):
        train(lambda h: h)
    assert train(torch.Tensor.detach) is not None


def test_part_of_a_saved_result_may_not_be_written():
    y = leaf(1.0, 2.0).exp()
    y[0] = 5
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.filterwarnings("ignore:The .grad attribute", "ignore:Converting a tensor with requires_grad")
def test_what_leaves_grad_empty():
    w = leaf(1.0, 2.0)
    (w**2).sum().backward()
    w = w - 0.1 * w.grad
    assert w.requires_grad
    assert not w.is_leaf
    (w**2).sum().backward()
    assert w.grad is None
    a, b = leaf(1.0)[0], leaf(2.0)[0]
    assert not torch.tensor([a, b]).requires_grad
    assert torch.stack([a, b]).requires_grad
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        a.numpy()


def test_autocast_comes_before_the_recording():
    w = torch.randn(3, 3, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = torch.randn(2, 3) @ w
    cast = y.grad_fn.next_functions[1][0]
    assert cast.name() == "ToCopyBackward0"
    seen = []
    y.grad_fn.register_prehook(lambda grads: seen.append(grads[0].dtype))
    y.float().sum().backward()
    assert seen == [torch.bfloat16]
    assert w.grad.dtype == torch.float32


def test_loss_scaling_saves_small_adjoints_of_float16():
    assert torch.tensor(1e-8).half() == 0
    assert (torch.tensor(1e-8) * 2**16).half() > 0
    assert torch.tensor(1e-8).bfloat16() > 0


# Custom functions


def test_swish_is_right_to_the_second_order():
    x = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Swish.apply, x)
    assert torch.autograd.gradgradcheck(Swish.apply, x)
    assert torch.allclose(Swish.apply(x), torch.nn.functional.silu(x))


def test_swish_keeps_one_tensor_instead_of_two():
    x = torch.linspace(-3, 3, 7, requires_grad=True)
    assert len(saved_by(lambda t: t * torch.sigmoid(t), x)[0]) == 2
    assert len(saved_by(Swish.apply, x)[0]) == len(saved_by(torch.nn.functional.silu, x)[0]) == 1


def test_gradcheck_refuses_the_straight_through_rounding():
    x = leaf(0.3, 1.7)
    through = x + (x.round() - x).detach()
    assert torch.equal(through.detach(), x.detach().round())
    assert torch.autograd.grad(through.sum(), x)[0].tolist() == [1.0, 1.0]
    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(lambda t: t + (t.round() - t).detach(), x)


def test_gradcheck_in_single_precision_is_useless():
    h, f = 1e-6, lambda t: torch.exp(t)
    x = torch.tensor(1.0)
    assert abs((f(x + h) - f(x - h)) / (2 * h) - f(x)) > 0.01


def test_once_differentiable_is_only_half_a_guard():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, grad_output):
            return 2 * ctx.saved_tensors[0] * grad_output

    x = leaf(3.0)
    (g,) = torch.autograd.grad(Square.apply(x) ** 2, x, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(g, x)
    # A constant adjoint came in, so nothing marks the node's part, and its 2 is missing from 2 + 6x = 20.
    (g,) = torch.autograd.grad(Square.apply(x) + x**3, x, create_graph=True)
    assert torch.autograd.grad(g, x)[0].item() == 18.0


# Second derivatives


def test_double_backward_of_the_example():
    data = tm_07.second_order()
    w, x, y = 0.5, 2.0, data.y
    assert y == pytest.approx(torch.tanh(torch.tensor(1.0)).item())
    assert round(1 - y**2, 3) == 0.420
    assert round(data.g, 3) == 0.210
    assert data.slope_in_w == pytest.approx((1 - y**2) * (1 - 2 * w * x * y))
    assert round(data.slope_in_w, 3) == -0.220
    adjoint = {(name, old): value for name, value, old in zip(data.names, data.adjoints, data.old, strict=True)}
    assert adjoint["MulBackward0", False] == 1.0
    assert adjoint["TanhBackwardBackward0", False] == 0.5
    assert round(adjoint["TanhBackward0", True], 3) == -0.762
    assert round(adjoint["MulBackward0", True], 3) == -0.320
    assert round(adjoint["MulBackward0", True] * x, 3) == -0.640
    assert round(0.420 - 0.640, 3) == -0.220
    assert {name for name, old in zip(data.names, data.old, strict=True) if not old} == {
        "MulBackward0", "TanhBackwardBackward0",
    }  # fmt: skip


def test_graphs_of_higher_derivatives_grow():
    assert tm_07.nodes_of_derivatives(7) == [2, 3, 6, 14, 34, 84, 212]


def test_retain_graph_alone_gives_no_second_derivative():
    x = leaf(2.0)
    (g,) = torch.autograd.grad(x**3, x, retain_graph=True)
    assert g.grad_fn is None
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad(g, x)


def test_create_graph_retains_the_graph():
    x = leaf(2.0)
    y = x**3
    torch.autograd.grad(y, x, create_graph=True)
    assert torch.autograd.grad(y, x)[0].item() == 12.0


def test_formulas_of_the_second_backward_pass():
    def f(x):
        return torch.stack([x[0] ** 2 * x[1], torch.sin(x[0]) + x[1] * x[2]])

    x, u, s = leaf(0.3, -0.7, 1.1), leaf(0.5, -2.0), torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    (pulled,) = torch.autograd.grad(f(x), x, grad_outputs=u, create_graph=True)
    by_u, by_x = torch.autograd.grad(pulled @ s, (u, x))
    jacobian = torch.autograd.functional.jacobian(f, x)
    hessians = [torch.autograd.functional.hessian(lambda x, i=i: f(x)[i], x) for i in range(2)]
    assert torch.allclose(by_u, jacobian @ s)
    assert torch.allclose(by_x, sum(c * H for c, H in zip(u.detach(), hessians, strict=True)) @ s)
    assert torch.allclose(jvp_by_two_vjps(f, x, s), jacobian @ s)
    assert torch.allclose(torch.func.jvp(f, (x,), (s,))[1], jacobian @ s)


def test_hessian_vector_product_without_the_hessian():
    theta, v = leaf(0.4, -1.0, 2.0), torch.tensor([1.0, 0.5, -2.0], dtype=torch.float64)

    def loss(t):
        return (t**3).sum() * t[0].exp()

    H = torch.autograd.functional.hessian(loss, theta)
    assert torch.allclose(hessian_times(loss(theta), theta, v), H @ v)


def test_jacobian_row_by_row_and_at_once():
    A = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    x = leaf(1.0, 2.0, 3.0)
    y = A @ x
    rows = [torch.autograd.grad(y, x, e, retain_graph=True)[0] for e in torch.eye(2, dtype=torch.float64)]
    assert torch.equal(torch.stack(rows), A)
    assert torch.equal(torch.func.jacrev(lambda x: A @ x)(x), A)
    assert torch.equal(torch.func.jacfwd(lambda x: A @ x)(x), A)


# Built on top


def test_checkpoint_keeps_the_dropout_mask_but_updates_batchnorm_twice():
    x = torch.ones(50, requires_grad=True)
    y = checkpoint(torch.nn.Dropout(0.5), x, use_reentrant=False)
    y.sum().backward()
    assert torch.equal(y, x.grad)
    assert 0 < (y == 0).sum() < 50
    norm = torch.nn.BatchNorm1d(3)
    checkpoint(norm, torch.randn(8, 3, requires_grad=True), use_reentrant=False).sum().backward()
    assert norm.num_batches_tracked == 2


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
def test_ddp_sends_a_bucket_while_the_backward_pass_goes_on(tmp_path):
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    try:
        dist.init_process_group("gloo", init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1)
    except RuntimeError as error:  # gloo wants a network interface, if only the loopback
        pytest.skip(str(error))
    try:
        network = torch.nn.Sequential(*[torch.nn.Linear(512, 512, bias=False) for _ in range(8)])
        model = DistributedDataParallel(network, bucket_cap_mb=2)
        log = []

        def send(state: object, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
            log.append(("bucket", bucket.index()))
            done = torch.futures.Future()
            done.set_result(bucket.buffer())
            return done

        model.register_comm_hook(None, send)
        for layer, parameter in enumerate(network.parameters()):
            parameter.register_post_accumulate_grad_hook(lambda p, layer=layer: log.append(("gradient", layer)))
        passes = []
        for _ in range(2):
            log.clear()
            model(torch.randn(2, 512)).sum().backward()
            passes.append(list(log))
    finally:
        dist.destroy_process_group()
    assert passes[0] == [*(("gradient", layer) for layer in range(7, -1, -1)), ("bucket", 0)]
    assert passes[1] == [
        ("gradient", 7), ("gradient", 6), ("bucket", 0), ("gradient", 5), ("gradient", 4), ("bucket", 1),
        ("gradient", 3), ("gradient", 2), ("bucket", 2), ("gradient", 1), ("gradient", 0), ("bucket", 3),
    ]  # fmt: skip


def test_compiled_function_is_one_node_without_second_derivative():
    compiled = torch.compile(lambda x: (x.sin() ** 2).sum(), backend="aot_eager")
    x = torch.randn(3, requires_grad=True)
    y = compiled(x)
    assert type(y.grad_fn).__name__ == "CompiledFunctionBackward"
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="does not currently support double backward"):
        torch.autograd.grad(g.sum(), x)


# Kinks and complex numbers


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (torch.relu, 0.0),
        (torch.abs, 0.0),
        (torch.sqrt, float("inf")),
        (lambda x: x.clamp(min=0), 1.0),
        (lambda x: torch.relu(x) - torch.relu(-x), 0.0),
    ],
)
def test_slopes_at_zero(function, slope):
    x = leaf(0.0)
    assert torch.autograd.grad(function(x), x)[0].item() == slope


def test_ties_are_split_evenly():
    x = leaf(3.0, 3.0, 1.0)
    assert torch.autograd.grad(x.max(), x)[0].tolist() == [0.5, 0.5, 0.0]
    assert torch.autograd.grad(x.max(dim=0).values, x)[0].tolist() == [1.0, 0.0, 0.0]


def test_steps_have_no_useful_gradient():
    x = leaf(0.3, 1.7)
    assert torch.autograd.grad(x.round().sum(), x)[0].tolist() == [0.0, 0.0]
    assert x.argmax().grad_fn is None


def test_where_lets_nan_through_and_the_double_where_does_not():
    zero = torch.zeros((), dtype=torch.float64)
    x = leaf(0.0, 4.0)
    (spoiled,) = torch.autograd.grad(torch.where(x > 0, x.sqrt(), zero).sum(), x)
    assert torch.isnan(spoiled[0])
    safe = torch.where(x > 0, x, torch.ones_like(zero))
    (healthy,) = torch.autograd.grad(torch.where(x > 0, safe.sqrt(), zero).sum(), x)
    assert healthy.tolist() == [0.0, 0.25]


@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:Error detected")
def test_anomaly_mode_names_the_culprit():
    x = leaf(-1.0)
    with torch.autograd.set_detect_anomaly(True), pytest.raises(RuntimeError, match="SqrtBackward0.*nan"):
        (x.sqrt() * 0).backward()


def test_gradient_in_a_complex_number():
    for loss, slope in ((lambda z: (z * z.conj()).real, 2 + 4j), (lambda z: (z * z).real, 2 - 4j)):
        z = torch.tensor(1 + 2j, dtype=torch.complex128, requires_grad=True)
        loss(z).backward()
        h = 1e-6
        by_a, by_b = ((loss(z + d) - loss(z - d)).item() / (2 * h) for d in (h, 1j * h))
        assert z.grad.item() == pytest.approx(slope)
        assert by_a + 1j * by_b == pytest.approx(slope)


# Traps and follow-ups


def alive_after(batches: int, collect, train: bool) -> list[int]:
    """KiB of activations alive after each of `batches` losses were added up by `collect`."""
    w, X = torch.nn.Parameter(torch.randn(64, 64)), torch.randn(256, 64)
    total, alive = 0, []
    with LiveBytes([w]) as live:
        for _ in range(batches):
            loss = torch.tanh(X @ w).square().mean()
            if train:
                loss.backward()
                w.grad = None
            total = total + collect(loss)
            del loss
            gc.collect()
            live.write_down()
            alive.append(round(live.activations[-1] / KIBIBYTE))
    return alive


def test_adding_up_losses_leaks_graphs():
    assert alive_after(4, lambda loss: loss, train=False) == [64, 128, 192, 256]
    assert alive_after(4, lambda loss: loss.item(), train=False) == [0, 0, 0, 0]
    assert len(set(alive_after(4, lambda loss: loss, train=True))) == 1  # backward has freed them
    assert len(set(alive_after(4, lambda loss: loss.detach(), train=False))) == 1


def test_backward_through_a_sum_of_losses_keeps_the_nodes():
    x = leaf(1.0)
    total = 0
    for _ in range(5):
        loss = x.exp()
        loss.backward()
        total = total + loss
    assert sum(node.name() == "ExpBackward0" for node in incoming_edges(total.grad_fn)) == 5


@pytest.mark.parametrize(("to_none", "moves"), [(True, False), (False, True)])
def test_zeros_in_grad_still_move_the_parameter(to_none, moves):
    w = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.1)
    w.sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=to_none)
    before = w.item()
    optimizer.step()
    assert (w.item() != before) == moves


def test_zero_grad_sets_none_by_default():
    w = torch.nn.Parameter(torch.ones(1))
    w.sum().backward()
    torch.optim.SGD([w], lr=0.1).zero_grad()
    assert w.grad is None


def test_accumulated_microbatches_are_the_large_batch():
    X = torch.arange(12, dtype=torch.float64).reshape(6, 2)
    w = leaf(0.1, -0.2)
    ((X @ w) ** 2).mean().backward()
    whole = w.grad.clone()
    w.grad = None
    for part in X.split(2):
        (((part @ w) ** 2).mean() / 3).backward()
    assert torch.allclose(w.grad, whole)


def test_outside_the_domain_the_gradient_is_arbitrary():
    for function, expected in ((torch.log, -0.5), (torch.sqrt, math.nan)):
        x = torch.tensor(-2.0, requires_grad=True)
        function(x).backward()
        assert x.grad.item() == pytest.approx(expected, nan_ok=True)
